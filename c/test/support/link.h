/* link.h - a link to a server of this machine that takes time, and carries no more than it is told: a relay of bytes,
 * which knows nothing of what they mean. A connection itself is made at once.
 * Threads: any. */
#ifndef LSQ_TEST_SUPPORT_LINK_H
#define LSQ_TEST_SUPPORT_LINK_H

#include <stdbool.h>
#include <stdint.h>

struct link;

/* To that port of 127.0.0.1; each byte takes delay_ms to get across, in each direction. */
struct link *link_start(int port, int delay_ms);
/* Ends all connections. NULL is fine. */
void link_stop(struct link *link);
/* Bytes a second from the server, of all connections together; 0: no bound. */
void link_set_rate(struct link *link, int rate);
/* Ends the connections that there are, and takes no others until it is mended. */
void link_cut(struct link *link);
void link_mend(struct link *link);
/* A bit is another one in the first run of four such bytes that comes from the server when n bytes have, from now
 * on. Negative: in none. Answers whether the last one that was ordered has been. */
bool link_damage(struct link *link, int64_t n, char byte);
/* "http://127.0.0.1:port", the link's own memory. */
const char *link_url(const struct link *link);
/* Bytes that went to the server, and that came from it. */
int64_t link_sent(const struct link *link);
int64_t link_came(const struct link *link);

#endif
