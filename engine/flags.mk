# How the engine is compiled. Each flag stands with its reason; what a connection can set for itself
# (foreign keys, trusted schema, defensive mode, cache size, ...) is left to the connection.

# -- Threads and memory ---------------------------------------------------------------------------
# Multi-thread mode: a connection is used by one thread at a time, which lsq's own gate sees to, so
# the engine's mutex on every call would be paid for nothing.
ENGINE_DEFS += -DSQLITE_THREADSAFE=2
# Memory statistics take a lock shared by all connections at every allocation.
ENGINE_DEFS += -DSQLITE_DEFAULT_MEMSTATUS=0
# Not set, on purpose: SQLITE_USE_ALLOCA. With pages of 64 KiB it takes over 400 KiB of stack, and a
# dirty scheduler of the Erlang VM has 320.

# Nor the bounds on recursion (expression depth, compound SELECTs, length of a LIKE pattern): how deep
# is safe depends on the stack of the thread that runs the statement, so a connection sets them with
# sqlite3_limit(). Measured with these flags: up to 0.8 KiB of stack for a level of an expression,
# 0.9 for a term of a compound SELECT, 0.1 for a % in a LIKE pattern. SQLite's own bounds (1,000, 500,
# 50,000 bytes) overflow the 320 KiB of a dirty scheduler, and that ends the VM.

# -- Defaults that a new file or connection starts with -------------------------------------------
# NORMAL loses no consistency in WAL mode, only the last commits at a power cut; FULL syncs at each.
ENGINE_DEFS += -DSQLITE_DEFAULT_WAL_SYNCHRONOUS=1
# Temporary data stay in memory unless a connection asks for files: the files of an encrypted
# database's sorts would lie on disk in the clear.
ENGINE_DEFS += -DSQLITE_TEMP_STORE=2
# "text" in double quotes is an identifier: a misspelled column is an error, not a string.
ENGINE_DEFS += -DSQLITE_DQS=0
# file: names carry the VFS, the mode and memdb's name.
ENGINE_DEFS += -DSQLITE_USE_URI=1
# FULL, RESTART and TRUNCATE checkpoints that lose the write lock answer BUSY rather than turn into
# a PASSIVE one by themselves.
ENGINE_DEFS += -DLIBSQL_DISABLE_CHECKPOINT_DOWNGRADE=1

# -- What SQL can do ------------------------------------------------------------------------------
ENGINE_DEFS += -DSQLITE_ENABLE_FTS5
# For databases that already have FTS3 or FTS4 tables; AND, OR, NOT and parentheses in their queries.
ENGINE_DEFS += -DSQLITE_ENABLE_FTS4 -DSQLITE_ENABLE_FTS3_PARENTHESIS
ENGINE_DEFS += -DSQLITE_ENABLE_RTREE -DSQLITE_ENABLE_GEOPOLY
# sin, sqrt, pow ...: great-circle distances need them.
ENGINE_DEFS += -DSQLITE_ENABLE_MATH_FUNCTIONS
ENGINE_DEFS += -DSQLITE_SOUNDEX
# Histograms for the planner, which ANALYZE fills.
ENGINE_DEFS += -DSQLITE_ENABLE_STAT4
# Left off, on purpose: SQLITE_LIKE_DOESNT_MATCH_BLOBS, for Ecto's suites use LIKE on blobs.

# -- What the core asks of the engine -------------------------------------------------------------
# Origin table and column of a result's columns.
ENGINE_DEFS += -DSQLITE_ENABLE_COLUMN_METADATA
# Changes with their old and new values; change sets.
ENGINE_DEFS += -DSQLITE_ENABLE_PREUPDATE_HOOK -DSQLITE_ENABLE_SESSION
# Sizes by table (dbstat), pages by number (sqlite_dbpage), opcodes of a statement (bytecode): for
# the storage report, for replicas, and for judging what a statement costs.
ENGINE_DEFS += -DSQLITE_ENABLE_DBSTAT_VTAB -DSQLITE_ENABLE_DBPAGE_VTAB -DSQLITE_ENABLE_BYTECODE_VTAB

# -- Left out -------------------------------------------------------------------------------------
# Interfaces kept for old programs. Shared cache: named in-memory databases are memdb's, and without
# it every table lock of a statement goes away.
ENGINE_DEFS += -DSQLITE_OMIT_DEPRECATED -DSQLITE_OMIT_SHARED_CACHE
# Not built, on purpose: fileio (SQL that writes files), csv, series, extension functions, wasm,
# statement scan statistics (every step slower), unlock notify (of shared cache only), API_ARMOR
# (checks of arguments that only our own core passes), normalised SQL. SQLITE_ENABLE_SNAPSHOT does
# not compile in libSQL, whose WAL is behind a table of functions that lacks it.

# -- Encryption at rest ---------------------------------------------------------------------------
# As libSQL itself builds it, so that its files open here and ours there: AES-256 and nothing else.
ENGINE_DEFS += -DLIBSQL_ENCRYPTION=1 -DLIBSQL_CUSTOM_PAGER_CODEC=1 -DLIBSQL_EXTRA_PRAGMAS=1
ENGINE_DEFS += -DCODEC_TYPE=CODEC_TYPE_AES256 -DHAVE_CIPHER_AES_256_CBC=1
ENGINE_DEFS += -DHAVE_CIPHER_AES_128_CBC=0 -DHAVE_CIPHER_CHACHA20=0 -DHAVE_CIPHER_SQLCIPHER=0
ENGINE_DEFS += -DHAVE_CIPHER_RC4=0 -DHAVE_CIPHER_ASCON128=0

# -- What the C library has -----------------------------------------------------------------------
# Sleeps of less than a second; fewer metadata writes per commit; no lock around the time zone;
# one system call per page instead of two.
ENGINE_DEFS += -DHAVE_USLEEP=1 -DHAVE_FDATASYNC=1
ENGINE_DEFS += -DHAVE_GMTIME_R=1 -DHAVE_LOCALTIME_R=1 -DHAVE_STRERROR_R=1
ENGINE_DEFS += -DHAVE_PREAD=1 -DHAVE_PWRITE=1

# The engine's code is not ours: its warnings are off, and it is free to alias pointers.
ENGINE_CFLAGS := -std=gnu11 -fPIC -fvisibility=hidden -fno-strict-aliasing -DNDEBUG -D_GNU_SOURCE -w
