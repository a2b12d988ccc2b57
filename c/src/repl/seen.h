/* seen.h - what others see of an exchange: how far it is, figures, events.
 * Threads: of who runs the exchange. */
#ifndef LSQI_REPL_SEEN_H
#define LSQI_REPL_SEEN_H

#include "repl/state.h"

/* An exchange begins: what is told of bytes and time is since then. */
void lsqi_seen_begin(struct lsqi_replica *replica);
void lsqi_seen_bytes(struct lsqi_replica *replica, uint64_t bytes);
/* So many frames went in, as the metadata say; rebuilt: they are all of the content. */
void lsqi_seen_frames(struct lsqi_replica *replica, uint64_t frames, bool rebuilt);

/* A request for frames begins; its number, for lsqi_seen_reached(): it found all that there is. */
uint64_t lsqi_seen_asks(struct lsqi_replica *replica);
void lsqi_seen_reached(struct lsqi_replica *replica, uint64_t serial);
/* The file's last frame is the server's, whatever the greeting's index said of a generation without frames. */
void lsqi_seen_has_all(struct lsqi_replica *replica);

/* An event. aside may be NULL. A long transfer's last answer is not among the bytes yet. */
void lsqi_seen_tell(struct lsqi_replica *replica, enum lsqi_replica_event_kind kind,
                    const char *message, const char *aside, uint64_t frames);
/* Frames were pushed, since that time in ns. */
void lsqi_seen_pushed(struct lsqi_replica *replica, uint64_t frames, uint64_t bytes, int64_t since);

#endif
