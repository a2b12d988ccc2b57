# The engine: libSQL with SQLite3MultipleCiphers, from the crate that libSQL itself publishes.
# Gives ENGINE_LIB (the archive to link), ENGINE_INC (flags to find sqlite3.h) and ENGINE_LIBS.

ENGINE_VERSION := 0.10.0
ENGINE_SHA256 := f232292810b6298d17466b59bf8077d075fb016d89c281ca9dc968ea4a3b9d03

ifeq ($(ENGINE),system)

ENGINE_LIB :=
ENGINE_INC := $(shell pkg-config --cflags sqlite3) -DLSQ_ENGINE_SYSTEM=1
ENGINE_LIBS := $(shell pkg-config --libs sqlite3)
ENGINE_SRC_STAMP :=

else

include engine/flags.mk

ENGINE_DIR := build/engine
ENGINE_SRC := $(ENGINE_DIR)/src
ENGINE_SRC_STAMP := $(ENGINE_SRC)/.ready
ENGINE_LIB := $(ENGINE_DIR)/$(BUILD)/libengine.a
ENGINE_INC := -isystem $(ENGINE_SRC)
ENGINE_LIBS :=
ENGINE_PATCHES := $(sort $(wildcard engine/patches/*.patch))

# Undefined-behaviour checks stay off here: the engine has reports of its own that are not ours to
# mend. Address and thread checks do reach into it.
ENGINE_OPT_release := -O2 -g1
ENGINE_OPT_asan := -O1 -g1 -fsanitize=address -fno-omit-frame-pointer
ENGINE_OPT_tsan := -O1 -g1 -fsanitize=thread
ENGINE_OPT := $(ENGINE_OPT_$(BUILD))

# One that is taken away counts, too.
$(ENGINE_DIR)/patches: FORCE
	$(call note,$(ENGINE_PATCHES))

# The pin and the patches are dependencies by content: the recipe of a clone's first build and of a
# changed patch are the same.
$(ENGINE_SRC_STAMP): engine/engine.mk engine/fetch $(ENGINE_PATCHES) $(ENGINE_DIR)/patches
	$(call say,ENGINE,libsql-ffi $(ENGINE_VERSION))
	$(Q)engine/fetch $(ENGINE_VERSION) $(ENGINE_SHA256) $(ENGINE_SRC) $(ENGINE_PATCHES)

$(ENGINE_DIR)/$(BUILD)/engine.o: $(ENGINE_SRC_STAMP) engine/flags.mk engine/engine.mk
	$(call say,CC,the engine ($(BUILD); one to two minutes))
	@mkdir -p $(@D)
	$(Q)$(CC) $(ENGINE_CFLAGS) $(ENGINE_OPT) $(ENGINE_DEFS) -I$(ENGINE_SRC) \
		-c $(ENGINE_SRC)/sqlite3mc.c -o $@

$(ENGINE_LIB): $(ENGINE_DIR)/$(BUILD)/engine.o
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

endif
