/* frame.h - a page as a server's log has it, whatever the protocol it comes by. */
#ifndef LSQI_REPL_FRAME_H
#define LSQI_REPL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LSQI_FRAME_HEADER = 24, LSQI_MOST_PAGE = 65536 };

struct lsqi_frame {
    uint64_t number;
    uint64_t checksum;
    uint32_t page;
    uint32_t size_after; /* pages of the database; > 0: it ends a transaction */
    uint64_t kept;       /* the spool's: a checksum of the page, where it lies in a file */
};

/* Who the server is, and how far. */
struct lsqi_hello {
    char log_id[40];
    char session[80];
    uint64_t index; /* of the server's last frame; 0 also where there is none */
};

#endif
