# Machines that are not there; both need root and Debian's or Ubuntu's tools, and keep what they make in .cache/pi.
.PHONY: nspawn pi

nspawn: $(BASE) ## the service in a booted container: start, watchdog, stop, hardening (root; ARGS="--broken watchdog")
	@$(BIN)/python -m tests.pi.container $(ARGS)

pi: $(BASE) ## an emulated Raspberry Pi drops photos and tells by its pins which lid opened (root; ARGS="--broken mapping")
	@$(BIN)/python -m tests.pi.emulated $(ARGS)
