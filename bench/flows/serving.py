"""How gunicorn serves the flows written otherwise: as Gatehouse's own gunicorn.conf.py does."""

worker_class = "gthread"
threads = 32
graceful_timeout = 30
control_socket_disable = True
