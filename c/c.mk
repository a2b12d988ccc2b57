# What is built from what: the engine, the library, the NIF, the C tests. The root's Makefile calls
# this file, under a lock, so that two runs of make never write the same object at once.
#
#     BUILD=release|asan|tsan|strict    ENGINE=libsql|system    WERROR=1    V=1
#
# `strict` only compiles, with every warning an error: a warning in an object that an earlier build
# left is then not missed.

BUILD := release
ENGINE := libsql
O := build/$(if $(filter system,$(ENGINE)),system-)$(BUILD)

VERSION := 1.0.0
SOVERSION := 1

LD := ld
OBJCOPY := objcopy
Q := $(if $(V),,@)
say = @printf '  %-7s %s\n' $(1) '$(2)'

all: lib
.PHONY: all engine lib nif tests bench fuzz objects FORCE
.DELETE_ON_ERROR:
.SECONDARY:

include engine/engine.mk

# ---- Flags --------------------------------------------------------------------------------------

SANITIZE_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SANITIZE_tsan := -fsanitize=thread -fno-omit-frame-pointer
SANITIZE := $(SANITIZE_$(BUILD))

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wvla
WARNINGS += $(if $(or $(WERROR),$(filter strict,$(BUILD))),-Werror)
INCLUDES := -Ic/include -Ic/src $(ENGINE_INC)
CFLAGS_ALL := -std=c11 -O2 -g -fPIC -fvisibility=hidden -D_GNU_SOURCE $(SANITIZE) $(WARNINGS) $(CFLAGS)
LIBS := -lpthread -lm -ldl $(ENGINE_LIBS)

# Where erl_nif.h is, asked when the first file that needs it is compiled.
ERL_INC = $(shell erl -noshell -eval 'io:format("~s/erts-~s/include", \
	[code:root_dir(), erlang:system_info(version)]), halt().')

# ---- Sources ------------------------------------------------------------------------------------

LIB_SRC := $(wildcard c/src/*.c c/src/*/*.c)
NIF_SRC := $(wildcard c/nif/*.c)
SUPPORT_SRC := $(wildcard c/test/support/*.c)
TEST_SRC := $(shell find c/test -name '*_test.c' 2>/dev/null | sort)
# Frames go into a file by a function of libSQL's engine: without it there are no replicas (open_test.c).
TEST_SRC := $(filter-out $(if $(filter system,$(ENGINE)),c/test/repl/% c/test/conn/replica_%),$(TEST_SRC))
BENCH_SRC := $(wildcard bench/*.c)

objects_of = $(patsubst %.c,$(O)/%.o,$(1))
LIB_OBJ := $(call objects_of,$(LIB_SRC))
NIF_OBJ := $(call objects_of,$(NIF_SRC))
SUPPORT_OBJ := $(call objects_of,$(SUPPORT_SRC))
TEST_BIN := $(patsubst c/test/%.c,$(O)/test/%,$(TEST_SRC))
BENCH_BIN := $(patsubst %.c,$(O)/%,$(BENCH_SRC))
ALL_SRC := $(LIB_SRC) $(NIF_SRC) $(SUPPORT_SRC) $(TEST_SRC) $(BENCH_SRC)

engine: $(ENGINE_LIB)
	@:
lib: $(O)/liblsq.a $(O)/liblsq.so.$(SOVERSION) $(O)/lsq.pc
	@:
nif: $(if $(NIF_SRC),$(O)/ecto_libsql_nif.so)
	@:
tests: $(TEST_BIN)
	@:
bench: $(BENCH_BIN)
	@:
objects: $(call objects_of,$(ALL_SRC))
	@:

# ---- Objects ------------------------------------------------------------------------------------

# Files that change only when what they say does: other flags compile again, another list of sources
# links again, the same do nothing.
note = @mkdir -p $(@D); echo '$(1)' | cmp -s - $@ || echo '$(1)' >$@
$(O)/flags: FORCE
	$(call note,$(CC) $(CFLAGS_ALL) $(INCLUDES))
$(O)/sources: FORCE
	$(call note,$(LIB_SRC) $(NIF_SRC) $(SUPPORT_SRC))

$(O)/c/nif/%.o: EXTRA = -isystem $(ERL_INC)
$(O)/c/src/%.o: EXTRA = -Wmissing-prototypes

$(O)/%.o: %.c $(O)/flags $(ENGINE_SRC_STAMP)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(INCLUDES) $(EXTRA) -MMD -MP -c $< -o $@

-include $(patsubst %.o,%.d,$(call objects_of,$(ALL_SRC)))

# ---- The library --------------------------------------------------------------------------------

# What the NIF and the tests link: every symbol that is not static can be reached.
$(O)/internal.a: $(LIB_OBJ) $(O)/sources
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJ)

# What users link: one object, in which all but lsq_* is local, so that a program may hold another
# SQLite beside it.
$(O)/liblsq.a: $(LIB_OBJ) $(ENGINE_LIB) $(O)/sources
	$(call say,AR,$@)
	$(Q)$(LD) -r -o $(O)/lsq.o $(LIB_OBJ) \
		$(if $(ENGINE_LIB),--whole-archive $(ENGINE_LIB) --no-whole-archive)
	$(Q)$(OBJCOPY) --localize-hidden $(O)/lsq.o
	$(Q)rm -f $@ && $(AR) rcs $@ $(O)/lsq.o

$(O)/liblsq.so.$(SOVERSION): $(LIB_OBJ) $(ENGINE_LIB) c/lsq.map $(O)/sources
	$(call say,LINK,$@)
	$(Q)$(CC) $(SANITIZE) -shared -Wl,-soname,$(@F) -Wl,--version-script=c/lsq.map -Wl,-Bsymbolic \
		-Wl,--as-needed $(LDFLAGS) -o $@ $(LIB_OBJ) $(ENGINE_LIB) $(LIBS)
	$(Q)ln -sf $(@F) $(O)/liblsq.so

$(O)/lsq.pc: c/lsq.pc.in c/c.mk
	@sed -e 's|@VERSION@|$(VERSION)|' -e 's|@REQUIRES@|$(if $(ENGINE_LIB),,sqlite3)|' $< >$@

# ---- The NIF ------------------------------------------------------------------------------------

# Everything of ours is inside and bound there: another SQLite in the same VM never answers our
# calls, nor ours its own.
$(O)/ecto_libsql_nif.so: $(NIF_OBJ) $(O)/internal.a $(ENGINE_LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SANITIZE) -shared -Wl,--exclude-libs,ALL -Wl,-Bsymbolic -Wl,--as-needed $(LDFLAGS) \
		-o $@ $(NIF_OBJ) $(O)/internal.a $(ENGINE_LIB) $(LIBS)

# ---- Fuzzing ------------------------------------------------------------------------------------

# libFuzzer comes with clang. Only what reads the servers' bytes is instrumented: no engine.
FUZZ_SRC := $(wildcard c/src/hrana/*.c) $(addprefix c/src/base/,alloc.c buf.c error.c utf8.c decimal.c decimal_text.c) \
	$(addprefix c/src/repl/,wire.c v2_read.c meta.c disk.c) c/src/engine/keysum.c \
	$(addprefix c/test/support/,answer.c chance.c)
FUZZ_BIN := $(patsubst c/fuzz/%_fuzz.c,build/fuzz/%,$(wildcard c/fuzz/*_fuzz.c))

fuzz: $(FUZZ_BIN)
	@:

build/fuzz/%: c/fuzz/%_fuzz.c $(FUZZ_SRC) $(wildcard c/src/*/*.h c/test/support/*.h)
	$(call say,FUZZ,$@)
	@mkdir -p $(@D)
	$(Q)clang -std=c11 -O1 -g -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		$(WARNINGS) -Ic/include -Ic/src $< $(FUZZ_SRC) -lcmocka -lm -o $@

# ---- Tests and benchmarks -----------------------------------------------------------------------

$(O)/test/%: $(O)/c/test/%.o $(SUPPORT_OBJ) $(O)/internal.a $(ENGINE_LIB)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $< $(SUPPORT_OBJ) $(O)/internal.a $(ENGINE_LIB) -lcmocka $(LIBS)

# A benchmark sees what a user sees, and the engine for the floor to compare with.
$(O)/bench/%: $(O)/bench/%.o $(O)/internal.a $(ENGINE_LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $< $(O)/internal.a $(ENGINE_LIB) $(LIBS)
