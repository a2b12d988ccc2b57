/* events.h - telling the program what the library did to a file by itself: lsq_on_file_event().
 *
 * Threads: any; no lock is held while the program is told. */
#ifndef LSQI_FILE_EVENTS_H
#define LSQI_FILE_EVENTS_H

#include "lsq/lsq.h"

void lsqi_event_tell(const struct lsq_file_event *event);

#endif
