"""Mail services that anybody can have an address at: people there share a domain and nothing else."""

# Brands that stand before the ending of many countries, as in yahoo.co.uk and hotmail.fr.
BRANDS = frozenset(
    {
        "aol", "email", "gmx", "googlemail", "hotmail", "live", "mail", "mailbox", "msn", "outlook", "rocketmail",
        "windowslive", "yahoo", "yandex", "ymail", "zoho",
    }
)  # fmt: skip
SECOND_LEVELS = frozenset({"co", "com", "ne", "net", "or", "org"})

_DOMAINS = """
gmail.com googlemail.com icloud.com me.com mac.com passport.com facebook.com
proton.me protonmail.com protonmail.ch pm.me tutanota.com tutanota.de tutamail.com tuta.io tuta.com keemail.me
fastmail.com fastmail.fm fastmail.net fastmail.org fastmail.uk sent.com messagingengine.com
hey.com hushmail.com hush.com mailfence.com posteo.de posteo.net posteo.eu posteo.at posteo.ch disroot.org
riseup.net runbox.com startmail.com ctemplar.com kolabnow.com skiff.com duck.com mozmail.com privaterelay.appleid.com
inbox.com inbox.lv inbox.ru mail.com email.com usa.com europe.com asia.com consultant.com engineer.com writeme.com
post.com myself.com iname.com cheerful.com techie.com dr.com lawyer.com accountant.com workmail.com bigfoot.com
lycos.com excite.com juno.com netzero.net netscape.net rediffmail.com rediff.com indiatimes.com sify.com
qq.com foxmail.com 163.com 126.com yeah.net 139.com 189.cn 188.com sina.com sina.cn sohu.com aliyun.com 21cn.com tom.com
wo.cn vip.163.com vip.126.com vip.qq.com hinet.net pchome.com.tw seed.net.tw netvigator.com singnet.com.sg
naver.com hanmail.net daum.net kakao.com nate.com korea.com
docomo.ne.jp ezweb.ne.jp au.com softbank.ne.jp i.softbank.jp nifty.com biglobe.ne.jp ocn.ne.jp so-net.ne.jp plala.or.jp
mail.ru bk.ru list.ru internet.ru rambler.ru ya.ru ukr.net i.ua meta.ua bigmir.net tut.by mail.by abv.bg dir.bg
web.de freenet.de t-online.de arcor.de kabelmail.de vodafone.de vodafonemail.de o2online.de online.de 1und1.de ewe.net
ewetel.net netcologne.de unitybox.de online.home.de gmx.net mail.de mailbox.org aon.at chello.at inode.at kabsi.at
bluewin.ch hispeed.ch sunrise.ch green.ch
orange.fr wanadoo.fr free.fr laposte.net sfr.fr neuf.fr bbox.fr numericable.fr club-internet.fr aliceadsl.fr voila.fr
cegetel.net noos.fr dbmail.com
telenet.be skynet.be proximus.be scarlet.be voo.be belgacom.net
ziggo.nl kpnmail.nl kpnplanet.nl planet.nl home.nl xs4all.nl hetnet.nl casema.nl chello.nl upcmail.nl quicknet.nl tele2.nl
libero.it virgilio.it tiscali.it tin.it alice.it tim.it fastwebnet.it inwind.it iol.it blu.it aruba.it pec.it
telefonica.net terra.es ono.com movistar.es ya.com euskaltel.net
sapo.pt netcabo.pt clix.pt iol.pt
btinternet.com btopenworld.com btconnect.com talktalk.net tiscali.co.uk virginmedia.com virgin.net ntlworld.com blueyonder.co.uk
sky.com o2.co.uk plusnet.com plus.com tesco.net freeserve.co.uk orange.net eircom.net
telia.com comhem.se bredband.net spray.se tele2.se online.no broadpark.no tdcadsl.dk stofanet.dk mail.dk jubii.dk
kolumbus.fi elisanet.fi saunalahti.fi luukku.com pp.inet.fi
wp.pl o2.pl onet.pl onet.eu interia.pl interia.eu poczta.fm poczta.onet.pl op.pl vp.pl gazeta.pl tlen.pl
seznam.cz centrum.cz email.cz post.cz volny.cz atlas.cz azet.sk centrum.sk zoznam.sk post.sk
freemail.hu citromail.hu t-online.hu indamail.hu siol.net net.hr otenet.gr forthnet.gr mynet.com walla.co.il walla.com
comcast.net xfinity.com att.net sbcglobal.net bellsouth.net pacbell.net ameritech.net swbell.net prodigy.net verizon.net
cox.net charter.net spectrum.net roadrunner.com rr.com twc.com earthlink.net mindspring.com optonline.net optimum.net
frontier.com frontiernet.net centurylink.net centurytel.net embarqmail.com q.com windstream.net suddenlink.net wowway.com
mchsi.com tds.net cableone.net
sympatico.ca rogers.com shaw.ca telus.net videotron.ca bell.net cogeco.ca eastlink.ca nb.sympatico.ca
bigpond.com bigpond.net.au optusnet.com.au tpg.com.au iinet.net.au internode.on.net westnet.com.au dodo.com.au ozemail.com.au
xtra.co.nz slingshot.co.nz orcon.net.nz paradise.net.nz
uol.com.br bol.com.br terra.com.br ig.com.br globo.com globomail.com oi.com.br r7.com prodigy.net.mx infinitummail.com
speedy.com.ar fibertel.com.ar arnet.com.ar ciudad.com.ar
mweb.co.za telkomsa.net vodamail.co.za webmail.co.za iafrica.com lantic.net
mailinator.com guerrillamail.com sharklasers.com 10minutemail.com temp-mail.org tempmail.com trashmail.com yopmail.com
maildrop.cc dispostable.com getnada.com mohmal.com throwawaymail.com mailnesia.com spamgourmet.com discard.email
guerrillamail.net guerrillamail.org guerrillamail.biz guerrillamail.de guerrillamailblock.com grr.la spam4.me
moakt.com emailondeck.com fakeinbox.com mintemail.com mytemp.email tempail.com temp-mail.io tempr.email burnermail.io
inboxkitten.com mailcatch.com mail-temp.com minuteinbox.com 1secmail.com harakirimail.com jetable.org trashmail.de wegwerfmail.de
simplelogin.com simplelogin.co simplelogin.fr simplelogin.io aleeas.com slmail.me slmails.com silomails.com 8alias.com 8shield.net
dralias.com passmail.net passmail.com passinbox.com passfwd.com anonaddy.com anonaddy.me addy.io addymail.com mailer.me
relay.firefox.com erine.email forwardemail.net 33mail.com spamex.com blurmail.net opayq.com
aim.com love.com wow.com games.com ygm.com zohomail.com zohomail.eu zohomail.in zohomail.com.au zohomail.jp onmail.com mail2world.com
cock.li airmail.cc firemail.cc atomicmail.io onionmail.org dnmx.org danwin1210.de systemli.org autistici.org
inventati.org elude.in vfemail.net safe-mail.net lavabit.com countermail.com criptext.com mailo.com mailo.net netcourrier.com net-c.com
eclipso.de eclipso.eu eclipso.ch eclipso.email firemail.de emailn.de soverin.net mykolab.com tuta.email tutao.de
fastmail.to fastmail.in fastmail.jp fastmail.com.au fastmail.co.uk fastmail.de fastmail.fr fastmail.nl fastmail.se fastmail.us fastmail.cn
icloud.com.cn 163.net 163vip.com vip.sina.com sina.com.cn 263.net eyou.com live.cn 88.com citiz.net
yahoo.co.jp ymail.ne.jp ybb.ne.jp goo.jp infoseek.jp excite.co.jp vodafone.ne.jp disney.ne.jp ymobile.ne.jp
hanmir.com lycos.co.kr dreamwiz.com chol.com empal.com paran.com freechal.com
inbox.eu inbox.lt inbox.ee mail.ee hot.ee one.lt mail.lt apollo.lv qip.ru pochta.ru nextmail.ru sibmail.com e1.ru lenta.ru myrambler.ru
autorambler.ru ro.ru xmail.ru email.ua online.ua 3g.ua mail.kz tut.ua bluemail.ch mail.ch swissonline.ch vtxmail.ch
caramail.com gawab.com maktoob.com
"""
DOMAINS = frozenset(_DOMAINS.split())


def is_public(domain: str) -> bool:
    """Whether a domain, in lower case, is such a service's, or lies below one."""
    labels = domain.split(".")
    if any(".".join(labels[start:]) in DOMAINS for start in range(len(labels) - 1)):
        return True
    brand, endings = labels[0], labels[1:]
    is_ending = len(endings) == 1 or (len(endings) == 2 and endings[0] in SECOND_LEVELS)
    return brand in BRANDS and is_ending
