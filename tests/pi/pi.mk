# Machines that are not there; both need root and Debian's or Ubuntu's tools, and keep what they make in .cache/pi.
.PHONY: nspawn

nspawn: $(BASE) ## the service in a booted container: start, watchdog, stop, hardening (root; ARGS="--broken watchdog")
	@$(BIN)/python -m tests.pi.container $(ARGS)
