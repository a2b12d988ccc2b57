/* stack.h - how much stack is left. Threads: any. */
#ifndef LSQI_BASE_STACK_H
#define LSQI_BASE_STACK_H

#include <stddef.h>

/* Bytes between here and the end of this thread's stack; 0 where the system does not tell. */
size_t lsqi_stack_room(void);

#endif
