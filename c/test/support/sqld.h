/* sqld.h - a real libSQL server, sqld, of a test's own. tools/ctest names it by LSQ_SQLD; without that the test is
 * skipped. The server dies with the thread that started it, whatever ends that.
 * Threads: the one that started it. */
#ifndef LSQ_TEST_SUPPORT_SQLD_H
#define LSQ_TEST_SUPPORT_SQLD_H

#include <sys/types.h>

struct sqld {
    char url[64]; /* http://127.0.0.1:PORT */
    int port;
    pid_t pid;               /* 0: it does not run */
    const char *const *args; /* more of the command line; NULL behind the last; may be NULL */
    char dir[128];           /* of its data; removed by db_forget() */
};

/* Starts one on a free port and a new folder, and waits until it answers. args, which may be NULL, must live as long
 * as the server. Skips the test where there is no sqld. */
void sqld_start(struct sqld *server, const char *const *args);
/* SIGKILL, and waits for the end. Twice is fine. */
void sqld_kill(struct sqld *server);
/* Starts it again with the same port and data; kills it before, where it runs. */
void sqld_restart(struct sqld *server);
/* It accepts connections, and says nothing, until it is resumed. */
void sqld_pause(struct sqld *server);
void sqld_resume(struct sqld *server);

/* A port of 127.0.0.1 that nobody listens on, and that the kernel gives to nobody by itself. */
int free_port(void);

#endif
