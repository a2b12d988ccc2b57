#include "repl/open.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "repl/disk.h"
#include "repl/events.h"
#include "repl/v2.h"

/* ---- Setting aside ---- */

/* The metadata say so first: a break leaves nothing that could be taken for what it was. own: see
 * lsqi_disk_set_aside(). */
static enum lsq_status set_aside(struct lsqi_replica *r, const char *why, bool own,
                                 struct lsq_error *err) {
    struct lsqi_meta meta = {.state = LSQI_META_DISCARD, .key_mark = r->key.mark};
    bool there = lsqi_disk_size(r->path, NULL) > 0;
    char aside[LSQI_DISK_NAME];
    struct lsqi_replica_event event = {
        .kind = LSQI_REPLICA_SET_ASIDE, .path = r->path, .why = LSQ_OK, .message = why};
    enum lsq_status st = lsqi_meta_create(&meta, r->meta_name, &r->key, err);

    if (st == LSQ_OK && there) st = lsqi_disk_set_aside(r->path, own, aside, err);
    if (st != LSQ_OK) return st;
    r->meta = meta;
    if (there) event.aside = aside;
    lsqi_replica_tell(&event);
    return LSQ_OK;
}

/* ---- Keys ----
 *
 * A file read with a wrong key looks damaged, and is not: nothing of it may be set aside for that. So the metadata know
 * the key, and are asked before anything else. */

static enum lsq_status other_key(const struct lsqi_replica *r, const char *why,
                                 struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_NOT_A_DATABASE,
                          "%s %s: it is not touched. Open it as it was made, or have it replaced "
                          "(adopt: it is kept as a copy then)",
                          r->path, why);
}

static enum lsq_status check_key(const struct lsqi_replica *r, struct lsq_error *err) {
    if (r->meta.key_mark == r->key.mark) return LSQ_OK;
    if (r->meta.key_mark == 0)
        return other_key(r, "is a replica that is not encrypted, and a key was given", err);
    if (r->key.mark == 0) return other_key(r, "is an encrypted replica, and no key was given", err);
    return other_key(r, "is an encrypted replica with another key than was given", err);
}

/* By the first page as the engine encrypts it: all but bytes 16 to 23, of which the last three are always the same
 * (https://sqlite.org/fileformat2.html, 1.3). */
static bool looks_encrypted(const char *path) {
    static const unsigned char same[3] = {64, 32, 32};
    unsigned char header[24];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool read = fd >= 0 && lsqi_disk_read(fd, header, sizeof(header), 0);

    if (fd >= 0) close(fd);
    return read && memcmp(header, "SQLite format 3", 16) != 0 &&
           memcmp(header + 21, same, sizeof(same)) == 0;
}

/* Where no metadata says which key the file has. */
static bool has_other_key(const struct lsqi_replica *r) {
    struct lsqi_apply *apply = NULL;
    enum lsq_status st = lsqi_apply_open(&apply, r->path, &r->key, NULL);

    if (apply != NULL) lsqi_apply_keep_wal(apply);
    lsqi_apply_close(apply);
    return st == LSQ_NOT_A_DATABASE && (r->key.mark != 0 || looks_encrypted(r->path));
}

/* ---- Local changes ----
 *
 * Of a file that has such, which its server has not, nothing is set aside without consent. */

static bool is_local(const struct lsqi_replica *r) { return lsqi_meta_is_local(&r->meta); }

static enum lsq_status keep_local(const struct lsqi_replica *r, const char *why,
                                  struct lsq_error *err) {
    return lsqi_error_set(
        err, LSQ_CONFLICT,
        "%s has changes that its server has not, and %s: it is not touched. Open it as it was "
        "made, "
        "for offline writes, or have it replaced (adopt: it is kept as a copy then)",
        r->path, why);
}

/* ---- A file with metadata ---- */

static bool is_damage(enum lsq_status st) {
    return st == LSQ_CORRUPT || st == LSQ_NOT_A_DATABASE || st == LSQ_SQL || st == LSQ_ERROR;
}

/* Whether the file looks as it was left, or as what was being put in then makes it. *missing: it lacks pages. */
static enum lsq_status compare_marks(struct lsqi_replica *r, bool *fits, bool *missing,
                                     struct lsq_error *err) {
    struct lsqi_mark now = r->meta.mark;
    enum lsq_status st = lsqi_apply_mark(r->apply, &now, err);

    *missing = lsqi_mark_lacks(&now, &r->meta.mark);
    *fits = lsqi_mark_same(&now, &r->meta.mark);
    if (st != LSQ_OK || *fits || r->meta.applied == r->meta.target) return st;
    now = r->meta.coming;
    st = lsqi_apply_mark(r->apply, &now, err);
    *fits = lsqi_mark_same(&now, &r->meta.coming);
    if (st == LSQ_OK && *fits) r->meta.mark = now;
    return st;
}

/* What a reader sees is what the metadata say. *own: it may be another file's content. */
static enum lsq_status compare(struct lsqi_replica *r, const char **why, bool *own,
                               struct lsq_error *err) {
    uint32_t page_size = 0;
    uint64_t pages = 0;
    bool missing = false;
    bool fits = false;
    enum lsq_status st = lsqi_apply_pages(r->apply, &pages, &page_size, err);

    /* What local changes make of the file is nowhere else. */
    if (st != LSQ_OK || is_local(r)) return st;
    st = compare_marks(r, &fits, &missing, err);
    if (st != LSQ_OK) return st;
    if (!fits) {
        *own = !missing;
        *why = missing ? "the file lacks pages that were put into it"
                       : "what is in the file is not what was put into it last";
    }
    if (!fits || r->meta.applied == 0) return LSQ_OK;
    if (page_size != r->meta.page_size) *why = "the file has another size of page";
    if (r->meta.applied == r->meta.target && pages != r->meta.pages)
        *why = "the file has another number of pages than was put into it";
    return LSQ_OK;
}

static enum lsq_status open_ready(struct lsqi_replica *r, const char **why, bool *own,
                                  struct lsq_error *err) {
    struct lsq_error trouble;
    enum lsq_status st = lsqi_apply_open(&r->apply, r->path, &r->key, &trouble);

    /* What the metadata say of its WAL must not go by closing it. */
    if (st == LSQ_OK && r->meta.beyond != LSQI_META_UNPLACED) lsqi_apply_keep_wal(r->apply);
    if (st == LSQ_OK) st = compare(r, why, own, &trouble);
    if (is_damage(st)) *why = "the file is damaged";
    if (*why != NULL && st == LSQ_OK) st = LSQ_CORRUPT;
    if (st == LSQ_OK) {
        r->next = r->meta.applied;
        r->committed_next = r->next;
        r->committed_pages = r->meta.pages;
        r->committed_sum = r->meta.checksum;
        lsqi_chain_join(r, r->meta.checksum);
        lsqi_chain_expect(r, &r->meta);
        return LSQ_OK;
    }
    lsqi_apply_close(r->apply);
    r->apply = NULL;
    if (*why != NULL) return LSQ_OK;
    if (err != NULL) *err = trouble;
    return st;
}

/* An installation that was broken off is brought to its end. */
static enum lsq_status finish_install(struct lsqi_replica *r, uint64_t inode, const char **why,
                                      struct lsq_error *err) {
    char incoming[LSQI_DISK_NAME];
    uint64_t other = 0;

    lsqi_disk_beside(incoming, r->path, "-incoming");
    if (inode == r->meta.inode) return lsqi_base_installed(r->path, &r->key, &r->meta, err);
    if (inode != 0 || lsqi_disk_size(incoming, &other) <= 0 || other != r->meta.inode) {
        *why = "its making was broken off";
        return LSQ_OK;
    }
    lsqi_disk_remove(r->path, "-wal");
    lsqi_disk_remove(r->path, "-shm");
    if (rename(incoming, r->path) != 0) return lsqi_disk_failed(err, "rename", incoming);
    if (lsqi_disk_sync_folder(r->path, err) != LSQ_OK) return LSQ_IO;
    return lsqi_base_installed(r->path, &r->key, &r->meta, err);
}

static enum lsq_status look_at_known(struct lsqi_replica *r, int64_t size, uint64_t inode,
                                     bool adopt_replace, struct lsq_error *err) {
    const char *why = NULL;
    enum lsq_status st = LSQ_OK;
    bool local = size > 0 && is_local(r);
    bool own = local || (size > 0 && inode != r->meta.inode);

    if (r->meta.state == LSQI_META_DISCARD && size <= 0) return LSQ_OK;
    if (local && !r->offline) {
        why = "it is opened without offline writes";
    } else if (r->meta.state == LSQI_META_DISCARD) {
        why = "it was to be set aside";
    } else if (r->meta.state == LSQI_META_INSTALLING) {
        st = finish_install(r, size > 0 ? inode : 0, &why, err);
    } else if (size <= 0) {
        why = "the file is missing";
    } else if (inode != r->meta.inode) {
        why = "another file is in its place";
    }
    if (st == LSQ_OK && why == NULL) st = open_ready(r, &why, &own, err);
    if (st == LSQ_OK && why != NULL && local && !adopt_replace) return keep_local(r, why, err);
    if (st == LSQ_OK && why != NULL) st = set_aside(r, why, own, err);
    return st;
}

static enum lsq_status look_at_torn(struct lsqi_replica *r, int64_t size, bool adopt_replace,
                                    struct lsq_error *err) {
    if (size > 0 && !adopt_replace && has_other_key(r))
        return other_key(r, "cannot be read with this key, or without, and its metadata is torn",
                         err);
    return set_aside(r, "its metadata is torn", false, err);
}

/* ---- Any file ---- */

static enum lsq_status look_at_unknown(struct lsqi_replica *r, int64_t size, bool adopt_replace,
                                       struct lsq_error *err) {
    if (size <= 0) return LSQ_OK;
    if (adopt_replace) return set_aside(r, "it was no replica, and is to be one", true, err);
    return lsqi_error_set(
        err, LSQ_NOT_A_REPLICA,
        "%s has data, and is not known to be a replica: it is not touched. Give the replica "
        "another "
        "name, move the file away, or have it replaced (adopt: it is kept as a copy then)",
        r->path);
}

static enum lsq_status check_protocol(const struct lsqi_replica *r, struct lsq_error *err) {
    if (!r->offline || r->meta.log_id[0] == '\0' || lsqi_v2_is_log_id(r->meta.log_id))
        return LSQ_OK;
    return lsqi_error_set(
        err, LSQ_PROTOCOL_UNSUPPORTED,
        "%s follows its server by the protocol of syncs v1, which takes no offline writes",
        r->path);
}

static enum lsq_status look(struct lsqi_replica *r, bool adopt_replace, struct lsq_error *err) {
    struct lsq_error trouble;
    uint64_t inode = 0;
    int64_t size = lsqi_disk_size(r->path, &inode);
    enum lsq_status st = lsqi_meta_read(&r->meta, r->meta_name, &r->key, &trouble);

    /* An empty file is none; one must not be in the way of what is renamed to its place. */
    if (size == 0) (void)unlink(r->path);
    if (st == LSQ_NO_ROW) return look_at_unknown(r, size, adopt_replace, err);
    if (st == LSQ_CORRUPT) return look_at_torn(r, size, adopt_replace, err);
    if (st == LSQ_OK && adopt_replace && r->meta.key_mark != r->key.mark)
        return set_aside(r, "it has another key, and is to be replaced", is_local(r), err);
    if (st == LSQ_OK) {
        st = check_key(r, err);
        if (st == LSQ_OK) st = check_protocol(r, err);
        return st == LSQ_OK ? look_at_known(r, size, inode, adopt_replace, err) : st;
    }
    if (err != NULL) *err = trouble;
    return st;
}

enum lsq_status lsqi_replica_look(struct lsqi_replica *r, bool adopt_replace,
                                  struct lsq_error *err) {
    enum lsq_status st = look(r, adopt_replace, err);

    /* What was begun without the key is not left lying about. */
    if (st == LSQ_OK) lsqi_base_discard_foreign(&r->base, r->path);
    return st;
}

/* ---- A file for who has none ---- */

/* As a base is installed: made under another name. */
enum lsq_status lsqi_replica_create_empty(struct lsqi_replica *r, struct lsq_error *err) {
    struct lsqi_base base = {.key = &r->key, .fd = -1};
    char incoming[LSQI_DISK_NAME];
    enum lsq_status st;

    lsqi_base_discard(&base, r->path);
    lsqi_disk_beside(incoming, r->path, "-incoming");
    st = lsqi_apply_make(incoming, &r->key, err);
    if (st != LSQ_OK) return st;
    r->meta = (struct lsqi_meta){.state = LSQI_META_INSTALLING, .key_mark = r->key.mark};
    st = lsqi_apply_check(incoming, &r->key, &r->meta.mark, err);
    if (st != LSQ_OK) return st;
    if (lsqi_disk_size(incoming, &r->meta.inode) <= 0)
        return lsqi_disk_failed(err, "find", incoming);
    st = lsqi_meta_create(&r->meta, r->meta_name, &r->key, err);
    if (st == LSQ_OK && lsqi_disk_size(r->path, NULL) > 0)
        st = lsqi_error_set(err, LSQ_NOT_A_REPLICA, "%s has come into being meanwhile", r->path);
    if (st == LSQ_OK) {
        const char *why = NULL;

        st = finish_install(r, 0, &why, err);
        if (st == LSQ_OK && why != NULL) st = lsqi_error_set(err, LSQ_IO, "%s", why);
    }
    if (st == LSQ_OK) st = lsqi_apply_open(&r->apply, r->path, &r->key, err);
    return st;
}
