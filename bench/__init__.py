"""How fast Gatehouse is: each figure measured in one run, beside what is promised of it."""
