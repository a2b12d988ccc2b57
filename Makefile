# EctoLibSql: the commands. What is built from what stands in c/c.mk and engine/engine.mk.
# `make help` lists the commands; CONTRIBUTING.md says how they fit together.

BUILD := release
ENGINE := libsql
TESTS :=
PREFIX := /usr/local
DESTDIR :=
# Where `make nif` puts the NIF; empty: nowhere beside build/.
NIF_OUT :=

O := build/$(if $(filter system,$(ENGINE)),system-)$(BUILD)

.PHONY: all help setup setup-test setup-check engine lib nif elixir deps demo bench bench-ecto bench-writers bench-replicas \
	install clean \
	test test-c test-mix test-suites test-nif-asan ecto-test fuzz \
	check check-format check-warnings check-lint check-rules check-model check-guide check-dependent check-figures format

all: setup
	@$(MAKE) --no-print-directory lib elixir

help:
	@echo 'make             engine, C library, NIF, Elixir; installs what is missing (apt)'
	@echo 'make demo        the demonstration'
	@echo 'make test        C tests, mix test, Ecto'"'"'s own suites   TESTS=word: C tests with word in their path'
	@echo 'make ecto-test   Ecto'"'"'s own suites with each Ecto that there is, for bench/ecto-suites.txt'
	@echo '                 ECTO_ENVS="file ...": each sets the paths of one (tools/ecto-test says how)'
	@echo 'make check       all that CI runs; its stages: check-format check-warnings check-lint'
	@echo '                 check-rules, check-model, test-c BUILD=release|asan|tsan, test-nif-asan, test-mix,'
	@echo '                 test-suites, check-figures'
	@echo 'make fuzz        the decoders under libFuzzer, each for   FUZZ_SECONDS=$(FUZZ_SECONDS)'
	@echo '                 FUZZ="$(FUZZ)": which'
	@echo 'make bench       the benchmarks; make bench-ecto: those of the Ecto adapter; make bench-writers:'
	@echo '                 many processes that write to one file; make bench-replicas: replicas of a server'
	@echo 'make install     library, header, pkg-config file   PREFIX=$(PREFIX) DESTDIR='
	@echo 'make deps        tries again to get the Hex packages (or set ECTO_PATH, ECTO_SQL_PATH, ...)'
	@echo 'make format      clang-format and mix format, in place'
	@echo 'make nif         the NIF alone                  NIF_OUT=folder'
	@echo 'make clean       removes build/ and _build/'
	@echo 'ENGINE=system: the system'"'"'s SQLite instead of libSQL.  ENGINE_CRATE=file: no download.'

# ---- Set-up: a stamp keeps it from looking again ------------------------------------------------

SETUP_KIND := build$(if $(filter system,$(ENGINE)),-system)

setup: build/setup/$(SETUP_KIND)
setup-test: build/setup/$(SETUP_KIND) build/setup/test
setup-check: setup-test build/setup/check

build/setup/%: tools/setup
	@mkdir -p $(@D) && tools/setup $*
	@touch $@

# ---- Native code: one make at a time in build/ --------------------------------------------------

LOCK := $(if $(shell command -v flock),flock build/lock)
NATIVE = mkdir -p build && $(LOCK) $(MAKE) --no-print-directory -f c/c.mk BUILD=$(BUILD) ENGINE=$(ENGINE)

engine lib:
	@$(NATIVE) $@

# Replaced by a new file, never written over: a VM may have the old one mapped.
nif:
	@$(NATIVE) nif
ifneq ($(NIF_OUT),)
	@mkdir -p '$(NIF_OUT)'
	@if [ -e $(O)/ecto_libsql_nif.so ] && \
	    ! cmp -s $(O)/ecto_libsql_nif.so '$(NIF_OUT)/ecto_libsql_nif.so'; then \
	    cp $(O)/ecto_libsql_nif.so '$(NIF_OUT)/.ecto_libsql_nif.so' && \
	    mv '$(NIF_OUT)/.ecto_libsql_nif.so' '$(NIF_OUT)/ecto_libsql_nif.so'; fi
endif

install: lib
	install -d '$(DESTDIR)$(PREFIX)/lib/pkgconfig' '$(DESTDIR)$(PREFIX)/include/lsq'
	install -m 644 $(O)/liblsq.a '$(DESTDIR)$(PREFIX)/lib'
	install -m 755 $(O)/liblsq.so.? '$(DESTDIR)$(PREFIX)/lib'
	cp -P $(O)/liblsq.so '$(DESTDIR)$(PREFIX)/lib'
	install -m 644 c/include/lsq/* '$(DESTDIR)$(PREFIX)/include/lsq'
	sed 's|@PREFIX@|$(PREFIX)|' $(O)/lsq.pc >'$(DESTDIR)$(PREFIX)/lib/pkgconfig/lsq.pc'

# A bare machine names no locale, and Elixir would take names of files for Latin-1.
ifeq ($(LC_ALL)$(LC_CTYPE)$(LANG),)
export LANG := C.UTF-8
endif

# ---- Elixir -------------------------------------------------------------------------------------

# mix.exs reads these; nothing else tells the variants apart.
export ECTO_LIBSQL_BUILD := $(BUILD)
export ECTO_LIBSQL_ENGINE := $(ENGINE)

# With Hex packages, with folders named by the caller, or (neither to be had) the driver alone.
DEP_PATHS := $(TELEMETRY_PATH)$(DECIMAL_PATH)$(JASON_PATH)$(DB_CONNECTION_PATH)$(ECTO_PATH)$(ECTO_SQL_PATH)
MIX := tools/mix
ifneq ($(DEP_PATHS)$(ECTO_LIBSQL_DEPS),)
DEPS :=
else
DEPS := build/deps
endif

build/deps: mix.exs tools/deps
	@mkdir -p build && tools/deps $@

deps:
	@rm -f build/deps
	@$(MAKE) --no-print-directory build/deps

elixir: $(DEPS)
	@$(MIX) compile

demo: all build/setup/demo
	@demo/fetch build/demo >/dev/null
	@$(MIX) run demo/demo.exs build/demo/cities.json build/demo/demo.db
	@$(MIX) run demo/atlas/demo.exs build/demo/cities.json build/demo/atlas.db
	@$(MIX) run demo/remote/demo.exs build/demo/server
	@$(MIX) run demo/replica/demo.exs build/demo/replica

# EXQLITE_PATH=folder of exqlite's sources: compared with it, too, on our engine.
bench: all
	@$(NATIVE) bench
	@echo 'Answers of servers, decoded:'; build/release/bench/decode
	@[ -z '$(EXQLITE_PATH)' ] || tools/bench-peer '$(EXQLITE_PATH)' build/bench
	@BENCH_FLOOR='$(CURDIR)/build/release/bench/floor' $(if $(EXQLITE_PATH),ERL_FLAGS='-pa build/bench/exqlite/ebin') \
	    MIX_ENV=prod $(MIX) run bench/run.exs
	@MIX_ENV=prod $(MIX) run bench/ticker.exs
	@MIX_ENV=prod $(MIX) run bench/remote.exs

# ECTO_SQLITE3_PATH and EXQLITE_PATH, folders of their sources: compared with them, too, on our engine.
PEERS := $(if $(and $(EXQLITE_PATH),$(ECTO_SQLITE3_PATH)),build/bench/ecto)

WITH_PEERS = ERL_FLAGS='$(if $(PEERS),-pa $(PEERS)/exqlite/ebin $(PEERS)/ecto_sqlite3/ebin) $(ERL_FLAGS)' \
    MIX_ENV=prod $(MIX)

.PHONY: bench-peers
bench-peers: all
	@$(NATIVE) engine bench
	@$(if $(PEERS),tools/bench-peer '$(EXQLITE_PATH)' $(PEERS) '$(ECTO_SQLITE3_PATH)')

bench-ecto: bench-peers
	@$(WITH_PEERS) run bench/ecto.exs

bench-writers: bench-peers
	@BENCH_TURN='$(CURDIR)/build/release/bench/turn' $(WITH_PEERS) run bench/writers.exs

# REPLICA_PEER, the program of bench/peers/libsql: compared with the Rust client, too.
bench-replicas: setup
	@$(NATIVE) bench
	@bench/replicas $(if $(REPLICA_PEER),--peer '$(REPLICA_PEER)')

# ---- Tests --------------------------------------------------------------------------------------

test: setup-test
	@$(MAKE) --no-print-directory test-c test-mix test-suites

test-c:
	@$(NATIVE) tests
	@tools/ctest $(BUILD) $(O)/test $(TESTS)

test-mix: $(DEPS)
	@$(MIX) test

# Ends with the line `adapter: N of M`, or `adapter: NOT TESTED, no Ecto`.
test-suites: $(DEPS)
	@tools/ecto-suites

ecto-test: $(DEPS)
	@tools/ecto-test

# The VM is not instrumented: the sanitizer's library comes first by LD_PRELOAD, signals and stacks
# stay the VM's own, and `+Mea min` sends its allocations to malloc, where the sanitizer sees them.
# Checked code needs more stack. The NIF is built before, so that the compiler runs without all this.
test-nif-asan: export ECTO_LIBSQL_BUILD := asan
test-nif-asan: $(DEPS)
	@$(NATIVE) BUILD=asan nif
	@LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0:handle_segv=0:handle_abort=0:use_sigaltstack=0:detect_stack_use_after_return=0 \
	    UBSAN_OPTIONS=print_stacktrace=1 ERL_FLAGS="+Mea min +sss 1024 +sssdcpu 1024 +sssdio 1024" $(MIX) test

# What it finds that is new is kept in build/fuzz/found/, what fails in build/fuzz/.
# hrana: answers of servers; repl and v2: those to replicas, by both protocols; meta: a replica's metadata.
FUZZ_SECONDS := 60
FUZZ := hrana repl v2 meta
fuzz: setup-test
	@command -v clang >/dev/null || { echo 'make fuzz needs clang (apt: clang)'; exit 1; }
	@$(NATIVE) fuzz
	@mkdir -p $(FUZZ:%=build/fuzz/found/%)
	@cd build/fuzz && for name in $(FUZZ); do echo "fuzz: $$name"; \
	    dict=../../c/fuzz/$$name.dict; [ -e $$dict ] && dict=-dict=$$dict || dict=; \
	    ASAN_OPTIONS=detect_leaks=1 ./$$name -max_total_time=$(FUZZ_SECONDS) -timeout=60 $$dict \
	        found/$$name ../../c/fuzz/corpus/$$name || exit 1; done

# ---- Checks -------------------------------------------------------------------------------------

check: setup-check $(DEPS)
	@tools/check

C_FILES = $(shell find c bench -name '*.[ch]' 2>/dev/null)

check-format:
	@clang-format --dry-run --Werror $(C_FILES)
	@$(MIX) format --check-formatted

# Puts both languages into the form that check-format asks for.
format:
	@clang-format -i $(C_FILES)
	@$(MIX) format

check-warnings: $(DEPS)
	@$(NATIVE) BUILD=strict objects
	@$(MIX) compile --force --warnings-as-errors

check-lint:
	@tools/lint

check-rules:
	@$(NATIVE) lib nif
	@tools/rules $(O)

# Models of the lane and of checkpoints, by spin; without it, a line that says so.
check-model:
	@tools/model build/model

check-guide: $(DEPS)
	@elixir tools/guide.exs

check-dependent: $(DEPS)
	@tools/dependent

# Needs no Ecto: whether bench/ecto-suites.txt is of this lib/.
check-figures:
	@tools/ecto-figures

clean:
	rm -rf build _build
