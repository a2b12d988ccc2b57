#include "base/stack.h"

#include <pthread.h>
#include <stdint.h>

/* Process-wide: no, one for each thread, which asks the system once. */
static _Thread_local uintptr_t stack_end;
static _Thread_local int asked; /* Process-wide: no, likewise */

static uintptr_t ask(void) {
    uintptr_t end = 0;
#ifdef __linux__
    pthread_attr_t attr;
    void *address = NULL;
    size_t size = 0;

    if (pthread_getattr_np(pthread_self(), &attr) != 0) return 0;
    if (pthread_attr_getstack(&attr, &address, &size) == 0) end = (uintptr_t)address;
    pthread_attr_destroy(&attr);
#elif defined(__APPLE__)
    end = (uintptr_t)pthread_get_stackaddr_np(pthread_self()) -
          pthread_get_stacksize_np(pthread_self());
#endif
    return end;
}

size_t lsqi_stack_room(void) {
    /* Not the address of a variable: a sanitizer may keep those elsewhere. */
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    if (!asked) {
        stack_end = ask();
        asked = 1;
    }
    return stack_end == 0 || here < stack_end ? 0 : here - stack_end;
}
