# Puts Pilah on a machine as a service: /opt/pilah is its environment, which sees the system's picamera2 and lgpio.
DESTDIR ?=
WHEELS  ?=
PRESET  ?= four-lids
# More for pip, as in PIP_ARGS=--no-deps.
PIP_ARGS ?=

HOME_OF_PILAH := /opt/pilah
ROOT_VENV      = $(DESTDIR)$(HOME_OF_PILAH)
ROOT_PIP       = $(ROOT_VENV)/bin/python -m pip --disable-pip-version-check --no-input
CONFIG        := /etc/pilah/pilah.toml
FACTORY        = $(DESTDIR)/usr/share/factory$(CONFIG)
UNIT           = $(DESTDIR)/usr/lib/systemd/system/pilah.service
SYSUSERS       = $(DESTDIR)/usr/lib/sysusers.d/pilah.conf
TMPFILES       = $(DESTDIR)/usr/lib/tmpfiles.d/pilah.conf
UDEV_RULES     = $(DESTDIR)/usr/lib/udev/rules.d/60-pilah.rules
COMMAND        = $(DESTDIR)/usr/local/bin/pilah
IS_LIVE        = [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]
LGPIO         := lgpio>=0.2.2.0,<0.3
# What pip cannot finish for want of room it cannot put back either.
TAKES_MB      := 500

HAS_PRESET = [ -e device/config/presets/$(PRESET).toml ] \
	  || { echo "PRESET is one of $(basename $(notdir $(wildcard device/config/presets/*.toml))), not $(PRESET)."; exit 1; }

.PHONY: install install-program install-service uninstall wheels

install: install-program install-service ## put Pilah on this machine as a service (WHEELS=dir: offline; PRESET=; DESTDIR=)
	@if $(IS_LIVE); then \
	  systemctl daemon-reload && systemctl try-restart pilah.service && \
	  echo "Installed. New here? First docs/first-start.md, step 3: sudo pilah doctor, sudo pilah calibrate ..." && \
	  echo "Start it now and at every boot: sudo systemctl enable --now pilah"; \
	else echo "Installed into $(or $(DESTDIR),/)."; fi

# A venv belongs to one Python: after an upgrade of the system it is made anew. What pip wrote for DESTDIR is then
# made to name the place where it will lie. numpy is the system's, not a newer one of the venv's: the system's picamera2
# was compiled against it. The wheel is named by its file, or pip would read the needs of the Pilah that is there.
install-program:
	@$(HAS_PRESET)
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" = 0 ] || { echo "Run as root: sudo make install"; exit 1; }
	@[ -z "$(WHEELS)" ] || ls $(WHEELS)/pilah-*.whl >/dev/null 2>&1 \
	  || { echo "There is no wheel of Pilah in $(WHEELS); make the folder with: make wheels WHEELS=$(WHEELS)"; exit 1; }
	@mkdir -p $(dir $(ROOT_VENV)) && free=$$(df --output=avail -BM $(dir $(ROOT_VENV)) | tail -n 1 | tr -dc 0-9); \
	[ "$$free" -ge $(TAKES_MB) ] || { echo "Only $$free MB are free for $(HOME_OF_PILAH), and an install takes" \
	  "$(TAKES_MB); remove something from the card."; exit 1; }
	@version=$$($(PYTHON) -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); \
	[ -d $(ROOT_VENV)/lib/$$version ] || rm -rf $(ROOT_VENV); \
	[ -x $(ROOT_VENV)/bin/pip ] || $(PYTHON) -m venv --system-site-packages $(ROOT_VENV) \
	  || { echo "Python cannot make a virtual environment; on Debian: sudo apt install python3-venv"; exit 1; }
	@$(PYTHON) -s -c "$$SYSTEM_NUMPY" > $(ROOT_VENV)/constraints.txt
	@echo "Installing Pilah and what it needs into $(ROOT_VENV)"
	@set -e; pip="$(ROOT_PIP) install --quiet --constraint $(ROOT_VENV)/constraints.txt $(PIP_ARGS)"; \
	lgpio=; case $$(uname -m) in aarch64|arm*) \
	  $(ROOT_VENV)/bin/python -c 'import lgpio' 2>/dev/null || lgpio="$(LGPIO)";; esac; \
	if [ -n "$(WHEELS)" ]; then \
	  $$pip --no-index --find-links $(WHEELS) $(WHEELS)/pilah-*.whl $$lgpio; \
	  $(ROOT_PIP) install --quiet --no-index --find-links $(WHEELS) --force-reinstall --no-deps pilah; \
	else \
	  PYPI=1 $$pip . $$lgpio; \
	fi
	@[ -z "$(DESTDIR)" ] || grep -rlIF "$(DESTDIR)" $(ROOT_VENV)/bin $(ROOT_VENV)/pyvenv.cfg \
	  | xargs -r sed -i "s|$(DESTDIR)||g"

define SYSTEM_NUMPY
from importlib.metadata import PackageNotFoundError, version
try:
    print("numpy==" + version("numpy"))
except PackageNotFoundError:
    pass
endef
export SYSTEM_NUMPY

# A configuration that is there is never touched; tmpfiles copies the factory's where there is none. What root copied
# from another Pi is given to the service.
install-service:
	@$(HAS_PRESET)
	@install -D -m 644 systemd/pilah.service $(UNIT)
	@install -D -m 644 systemd/pilah.sysusers $(SYSUSERS)
	@install -D -m 644 systemd/pilah.tmpfiles $(TMPFILES)
	@install -D -m 644 systemd/pilah.rules $(UDEV_RULES)
	@mkdir -p $(dir $(COMMAND)) $(dir $(FACTORY)) && ln -sfn $(HOME_OF_PILAH)/bin/pilah $(COMMAND)
	@{ cat device/config/default.toml && echo && cat device/config/presets/$(PRESET).toml; } > $(FACTORY)
	@if [ -z "$(DESTDIR)" ]; then \
	  systemd-sysusers pilah.conf && for file in $(CONFIG) $(CONFIG).previous $(wildcard /var/lib/pilah/journal.db*) \
	    $(addprefix /var/lib/pilah/,owner-password last-log-out cookie-key); do \
	    [ ! -e $$file ] || chown -h pilah:pilah $$file; done \
	  && systemd-tmpfiles --create pilah.conf; fi
	@[ "$(origin PRESET)" = file ] || [ ! -e $(DESTDIR)$(CONFIG) ] || echo "$(CONFIG) is there and stays as it is;" \
	  "for $(PRESET) in its place: sudo pilah config init --preset $(PRESET) --force"
	@if [ -z "$(DESTDIR)" ] && [ -S /run/udev/control ]; then \
	  udevadm control --reload && udevadm trigger --subsystem-match=gpio --subsystem-match=dma_heap; fi

uninstall: ## take the service off this machine; configuration and history stay
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" = 0 ] || { echo "Run as root: sudo make uninstall"; exit 1; }
	@if $(IS_LIVE) && [ -e $(UNIT) ]; then systemctl disable --quiet --now pilah.service; fi
	@rm -rf $(ROOT_VENV)
	@rm -f $(UNIT) $(SYSUSERS) $(TMPFILES) $(UDEV_RULES) $(COMMAND) $(FACTORY)
	@if $(IS_LIVE); then systemctl daemon-reload; fi
	@rmdir --ignore-fail-on-non-empty $(dir $(FACTORY)) 2>/dev/null || true
	@echo "Uninstalled; configuration (/etc/pilah), history (/var/lib/pilah) and the user pilah, whose they are, stay."

# For another machine, FOR names its release and ARCH its processor; numpy is the one that its picamera2 wants. pip takes
# what an x86 needs along where it runs on one; a Pi would not install it.
FOR  ?=
ARCH ?= aarch64
PYTHON_bookworm := 3.11
NUMPY_bookworm  := 1.24.2
PYTHON_trixie   := 3.13
NUMPY_trixie    := 2.2.4
PLATFORMS       = $(foreach tag,2_36 2_34 2_31 2_28 2_27 2_26 2_24 2_17,--platform manylinux_$(tag)_$(ARCH)) \
                  --platform manylinux2014_$(ARCH) --platform any

wheels: | $(STAMPS) ## all that `make install WHEELS=dir` needs without internet (WHEELS=dir; FOR=bookworm or trixie)
	@[ -z "$(FOR)" ] || [ -n "$(PYTHON_$(FOR))" ] || { echo "FOR is bookworm or trixie, not $(FOR)."; exit 1; }
	@folder="$(or $(WHEELS),dist/wheels$(addprefix -,$(FOR)))"; set -e; \
	mkdir -p "$$folder"; rm -f "$$folder"/pilah-*.whl; \
	if [ -z "$(FOR)" ]; then \
	  lgpio=; case $$(uname -m) in aarch64|arm*) $(PYTHON) -c 'import lgpio' 2>/dev/null || lgpio="$(LGPIO)";; esac; \
	  $(PYTHON) -s -c "$$SYSTEM_NUMPY" > "$$folder/constraints.txt"; \
	  PYPI=1 $(PIP) wheel --quiet --wheel-dir "$$folder" --constraint "$$folder/constraints.txt" $(PIP_ARGS) . $$lgpio; \
	else \
	  $(PIP) wheel --quiet --no-deps --wheel-dir "$$folder" . 'sdnotify<0.4'; \
	  $(PIP) download --quiet --only-binary :all: $(PLATFORMS) --python-version $(PYTHON_$(FOR)) \
	    --find-links "$$folder" --dest "$$folder" $(PIP_ARGS) "$$folder"/pilah-*.whl "numpy==$(NUMPY_$(FOR))"; \
	  [ $(ARCH) = x86_64 ] || rm -f "$$folder"/onnx-*.whl "$$folder"/ml_dtypes-*.whl; \
	fi; \
	echo "$$(ls "$$folder"/*.whl | wc -l) wheels lie in $$folder: make install WHEELS=$$folder"
