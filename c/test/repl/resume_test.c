/* A bootstrap that is broken off goes on where it was: what comes over the link says so. Of protocol v1, of v2's
 * frames, and of v2's export. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/bootstrap.h"

static struct bootstrap b;

static int forget(void **state) { return bootstrap_forget(&b, state); }

static enum source v1 = V1;
static enum source v2_frames = V2_FRAMES;
static enum source v2_export = V2_EXPORT;

static void in_the_same_process(void **state) {
    struct lsqi_replica *replica;

    bootstrap_fill(&b, *(const enum source *)*state);
    replica = bootstrap_open(&b, replica_path());
    bootstrap_break_off(&b, replica, 80);
    bootstrap_expect_rest(&b, replica, 25);
    replica_close(replica);
}

static void by_who_opens_it_next(void **state) {
    const char *path = replica_path();
    struct lsqi_replica *replica;

    bootstrap_fill(&b, *(const enum source *)*state);
    replica_use_key("with a key");
    replica = bootstrap_open(&b, path);
    bootstrap_break_off(&b, replica, 80);
    replica_close(replica);
    replica = bootstrap_open(&b, path);
    bootstrap_expect_rest(&b, replica, 25);
    replica_close(replica);
}

/* "PATH URL KEY" */
static int follow(const char *argument) {
    char path[256];
    char url[128];
    char key[16] = "";
    struct lsqi_replica *replica;

    if (sscanf(argument, "%255s %127s %15s", path, url, key) < 2) return 2;
    replica_use_key(key[0] == '\0' ? NULL : key);
    replica = replica_open_at(path, url);
    (void)!write(1, "r", 1);
    (void)lsqi_replica_sync_wait(replica, 0, 120000, NULL, NULL, NULL, &last_error);
    return 3;
}

static const struct child_role roles[] = {{"follow", follow}};

/* What came since the last mark is lost with the process: a second's worth at most, of four. */
static void after_a_kill(void **state) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    static const char *const keys[] = {"key"}; /* it takes its time */
#else
    static const char *const keys[] = {"key", ""};
#endif

    bootstrap_fill(&b, *(const enum source *)*state);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *path = replica_path();
        int64_t before = link_came(b.way);
        struct lsqi_replica *replica;
        char argument[400];
        struct child child;

        link_set_rate(b.way, (int)(b.whole / 5));
        snprintf(argument, sizeof(argument), "%s %s %s", path, link_url(b.way), keys[i]);
        child = child_begin("follow", argument);
        child_ready(&child);
        bootstrap_await(&b, 80, before);
        kill(child.pid, SIGKILL);
        (void)child_end(&child);
        link_set_rate(b.way, 0);
        replica_use_key(keys[i][0] == '\0' ? NULL : keys[i]);
        replica = bootstrap_open(&b, path);
        bootstrap_expect_rest(&b, replica, 75);
        replica_close(replica);
    }
}

/* A test, and what is broken off in it. */
#define TEST(name, of)                                                                             \
    { #name ", " #of, name, NULL, forget, &(of) }

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(in_the_same_process, v1),
        TEST(by_who_opens_it_next, v1),
        TEST(after_a_kill, v1),
        TEST(in_the_same_process, v2_frames),
        TEST(after_a_kill, v2_frames),
        TEST(in_the_same_process, v2_export),
        TEST(by_who_opens_it_next, v2_export),
        TEST(after_a_kill, v2_export),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
