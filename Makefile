.PHONY: demo test quick

demo:
	python3 run.py demo

test:
	python3 run.py test

quick:
	python3 run.py test --quick
