/* TLS: whom we trust, whom the server trusts, HTTP/2. The server is a script for node, and openssl makes the
 * certificates; where one of them is missing, all this is skipped. */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/http_call.h"
#include "net/websocket.h"

extern char **environ;

/* Process-wide: the folder with the certificates. */
static char folder[64];
static bool usable;

static bool shell(const char *command) { return system(command) == 0; }

static const char *file(const char *name) {
    static char names[8][128];
    static int next;
    char *path = names[next++ % 8];

    snprintf(path, sizeof(names[0]), "%s/%s", folder, name);
    return path;
}

static int make_certificates(void **state) {
    char command[4096];

    (void)state;
    strcpy(folder, "/tmp/lsq-tls-XXXXXX");
    if (!shell("command -v node openssl >/dev/null") || mkdtemp(folder) == NULL) return 0;
    snprintf(command, sizeof(command),
             "cd %s && exec 2>/dev/null >/dev/null && new() {\n"
             "  openssl req -newkey rsa:2048 -nodes -keyout $1.key -out $1.csr -subj /CN=$2 &&\n"
             "  printf 'subjectAltName=%%s' \"$3\" >$1.ext &&\n"
             "  openssl x509 -req -in $1.csr -CA $4.pem -CAkey $4.key -CAcreateserial -days 2 \\\n"
             "    -out $1.pem -extfile $1.ext; }\n"
             "for ca in ca other; do\n"
             "  openssl req -x509 -newkey rsa:2048 -nodes -keyout $ca.key -out $ca.pem -days 2 \\\n"
             "    -subj /CN=$ca || exit 1\n"
             "done\n"
             "new server server IP:127.0.0.1 ca && new named named DNS:db.example ca &&\n"
             "new client client DNS:client other && cat client.pem client.key >both.pem",
             folder);
    usable = shell(command);
    return 0;
}

static int remove_certificates(void **state) {
    char command[128];

    (void)state;
    if (folder[11] == 'X') return 0;
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return shell(command) ? 0 : 1;
}

struct script {
    pid_t pid;
    int to;
    FILE *out;
    int port;
    bool strict; /* it does not end with its standard input */
};

/* Starts argv; its port is behind the last `before` of the first line that has that. */
static struct script start(char **argv, const char *before) {
    posix_spawn_file_actions_t actions;
    struct script script = {0};
    int to[2];
    int from[2];
    char line[256];
    FILE *out;

    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    assert_int_equal(posix_spawnp(&script.pid, argv[0], &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    script.to = to[1];
    script.out = out = fdopen(from[0], "r");
    while (script.port == 0 && fgets(line, sizeof(line), out) != NULL)
        if (strstr(line, before) != NULL) script.port = atoi(strrchr(line, before[0]) + 1);
    assert_true(script.port > 0);
    return script;
}

static struct script script_start(const char *cert, const char *ca, const char *protocols) {
    char key_file[128];
    char cert_file[128];
    char *argv[] = {
        "node", "c/test/support/tls_server.js", key_file, cert_file, (char *)ca, (char *)protocols,
        NULL};

    snprintf(key_file, sizeof(key_file), "%s/%s.key", folder, cert);
    snprintf(cert_file, sizeof(cert_file), "%s/%s.pem", folder, cert);
    return start(argv, ":");
}

/* openssl's server, which refuses with an alert, as others than node do. */
static struct script strict_start(const char *ca) {
    char *argv[] = {"openssl",
                    "s_server",
                    "-accept",
                    "127.0.0.1:0",
                    "-key",
                    (char *)file("server.key"),
                    "-cert",
                    (char *)file("server.pem"),
                    "-CAfile",
                    (char *)ca,
                    "-Verify",
                    "1",
                    "-verify_return_error",
                    "-www",
                    NULL};

    struct script script = start(argv, ":");

    script.strict = true;
    return script;
}

static void script_stop(struct script *script) {
    int status;

    close(script->to);
    if (script->strict) kill(script->pid, SIGTERM);
    fclose(script->out);
    waitpid(script->pid, &status, 0);
    lsq_shutdown();
}

static const char *url(const struct script *script, const char *path) {
    static char urls[8][128];
    static int next;
    char *text = urls[next++ % 8];

    snprintf(text, sizeof(urls[0]), "https://127.0.0.1:%d%s", script->port, path);
    return text;
}

static void call_init(struct http_call *call, const char *where, struct lsqi_http_peer_config cfg) {
    http_call_prepare(call, where);
    call->request.max_response = 100000000; /* else it is a stream, which is never HTTP/2 */
    cfg.proxy = "";
    assert_int_equal(lsqi_http_peer_new(&call->request.peer, &cfg, NULL), LSQ_OK);
}

static struct lsqi_http_peer_config trusting(void) {
    return (struct lsqi_http_peer_config){.ca_file = file("ca.pem")};
}

static void expect_text(const char *where, struct lsqi_http_peer_config cfg, const char *text) {
    struct http_call call;

    call_init(&call, where, cfg);
    call.request.body = "12345";
    call.request.body_len = 5;
    http_run(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_string_equal(call.data, text);
    http_call_free(&call);
}

static void expect_tls(const char *where, struct lsqi_http_peer_config cfg, bool sent) {
    struct http_call call;

    call_init(&call, where, cfg);
    http_run(&call);
    expect_end(&call, LSQI_HTTP_TLS, sent);
    assert_int_equal(call.heads, 0);
    assert_true(strlen(call.message) > 10);
    http_call_free(&call);
}

#define SKIP_UNLESS_USABLE()                                                                       \
    do {                                                                                           \
        (void)state;                                                                               \
        if (!usable) skip();                                                                       \
    } while (0)

/* ---- Whom we trust ---- */

static void own_authority_is_trusted_and_no_other(void **state) {
    struct script script;

    SKIP_UNLESS_USABLE();
    script = script_start("server", "-", "http/1.1");
    expect_text(url(&script, "/"), trusting(), "HTTP/1.1 5");
    expect_tls(url(&script, "/"), (struct lsqi_http_peer_config){.ca_file = file("other.pem")},
               false);
    expect_tls(url(&script, "/"), (struct lsqi_http_peer_config){0}, false);
    expect_tls(url(&script, "/"), (struct lsqi_http_peer_config){.ca_file = file("none.pem")},
               false);
    /* A connection that one peer trusts is not another's. */
    expect_text(url(&script, "/"), trusting(), "HTTP/1.1 5");
    expect_text(url(&script, "/"), (struct lsqi_http_peer_config){.no_verify = true}, "HTTP/1.1 5");
    expect_tls(url(&script, "/"), (struct lsqi_http_peer_config){0}, false);
    script_stop(&script);
}

static void certificate_of_another_name_is_refused(void **state) {
    struct script script;

    SKIP_UNLESS_USABLE();
    script = script_start("named", "-", "http/1.1");
    expect_tls(url(&script, "/"), trusting(), false);
    script_stop(&script);
}

static void server_without_tls_is_no_tls(void **state) {
    struct script script;
    char plain[64];
    struct http_call call;

    SKIP_UNLESS_USABLE();
    script = script_start("server", "-", "http/1.1");
    snprintf(plain, sizeof(plain), "http://127.0.0.1:%d/", script.port);
    http_call_init(&call, plain);
    http_run(&call);
    assert_int_not_equal(call.end.kind, LSQI_HTTP_DONE);
    assert_true(call.end.sent);
    http_call_free(&call);
    script_stop(&script);
}

/* ---- Whom the server trusts ---- */

static void client_certificate_is_shown(void **state) {
    struct script script;
    struct lsqi_http_peer_config cfg;

    SKIP_UNLESS_USABLE();
    cfg = trusting();
    script = script_start("server", file("other.pem"), "http/1.1");
    cfg.client_cert = file("client.pem");
    cfg.client_key = file("client.key");
    expect_text(url(&script, "/"), cfg, "HTTP/1.1 5");
    cfg.client_cert = file("both.pem");
    cfg.client_key = NULL;
    expect_text(url(&script, "/"), cfg, "HTTP/1.1 5");
    script_stop(&script);
}

/* TLS 1.3: the refusal comes when the request is on its way already. */
static void client_without_certificate_is_refused(void **state) {
    struct script script;
    struct lsqi_http_peer_config cfg;

    SKIP_UNLESS_USABLE();
    cfg = trusting();
    script = strict_start(file("other.pem"));
    expect_tls(url(&script, "/"), cfg, true);
    cfg.client_cert = file("server.pem");
    cfg.client_key = file("server.key");
    expect_tls(url(&script, "/"), cfg, true);
    cfg.client_cert = file("none.pem");
    expect_tls(url(&script, "/"), cfg, false);
    script_stop(&script);
}

/* ---- HTTP/2 ---- */

static void many_share_a_connection_of_http_2(void **state) {
    struct script script;
    static struct http_call call[100];
    int connections;
    int requests;
    int most;

    SKIP_UNLESS_USABLE();
    script = script_start("server", "-", "h2,http/1.1");
    expect_text(url(&script, "/"), trusting(), "HTTP/2.0 5");
    for (int i = 0; i < 100; i++) {
        call_init(&call[i], url(&script, "/slow"), trusting());
        http_begin(&call[i]);
    }
    for (int i = 0; i < 100; i++) {
        http_wait(&call[i]);
        expect_end(&call[i], LSQI_HTTP_DONE, true);
        assert_string_equal(call[i].data, "slow");
        http_call_free(&call[i]);
    }
    call_init(&call[0], url(&script, "/figures"), trusting());
    http_run(&call[0]);
    assert_int_equal(sscanf(call[0].data, "%d %d %d", &connections, &requests, &most), 3);
    http_call_free(&call[0]);
    assert_int_equal(requests, 102);
    assert_int_equal(connections, 1);
    assert_true(most > 32);
    script_stop(&script);
}

static void pieces_over_http_2_make_the_whole(void **state) {
    struct script script;

    SKIP_UNLESS_USABLE();
    script = script_start("server", "-", "h2,http/1.1");
    for (size_t take = 0; take < 20000; take = take * 5 + 999) {
        struct http_call call;

        call_init(&call, url(&script, "/large"), trusting());
        call.take = take;
        http_run(&call);
        expect_end(&call, LSQI_HTTP_DONE, true);
        assert_int_equal(call.len, 3000000);
        for (size_t i = 0; i < call.len; i++) assert_int_equal(call.data[i], '0' + i % 10);
        http_call_free(&call);
    }
    script_stop(&script);
}

/* A stream that ends before its answer does not end the connection that it shares. */
static void deadline_and_cancel_end_their_stream_alone(void **state) {
    struct script script;
    struct http_call never;
    struct http_call large;
    struct http_call slow;
    int connections;

    SKIP_UNLESS_USABLE();
    script = script_start("server", "-", "h2,http/1.1");
    expect_text(url(&script, "/"), trusting(), "HTTP/2.0 5");
    call_init(&never, url(&script, "/never"), trusting());
    never.request.first_byte_ms = 300;
    http_begin(&never);
    call_init(&large, url(&script, "/large"), trusting());
    large.hold = true;
    http_begin(&large);
    http_wait_pauses(&large, 1);
    for (int i = 0; i < 5; i++) {
        call_init(&slow, url(&script, "/slow"), trusting());
        http_begin(&slow);
        if (i == 2) http_cancel(&large);
        if (i == 4) http_wait(&never);
        http_wait(&slow);
        expect_end(&slow, LSQI_HTTP_DONE, true);
        http_call_free(&slow);
    }
    http_wait(&large);
    expect_end(&large, LSQI_HTTP_CANCELLED, true);
    expect_end(&never, LSQI_HTTP_TIMEOUT, true);
    assert_string_equal(never.end.phase, "first byte");
    http_call_free(&large);
    http_call_free(&never);
    call_init(&slow, url(&script, "/figures"), trusting());
    http_run(&slow);
    assert_int_equal(sscanf(slow.data, "%d", &connections), 1);
    assert_int_equal(connections, 1);
    http_call_free(&slow);
    script_stop(&script);
}

/* A stream has a connection for itself, whose flow stops with it; and what is paused in HTTP/2 leaves nothing when
 * it is ended (with a sanitizer this shows). */
static void paused_exchanges_take_little_and_leave_nothing(void **state) {
    struct script script;
    struct http_call call;

    SKIP_UNLESS_USABLE();
    script = script_start("server", "-", "h2,http/1.1");
    expect_text(url(&script, "/"), trusting(), "HTTP/2.0 5");
    for (int i = 0; i < 4; i++) {
        call_init(&call, url(&script, "/large"), trusting());
        if (i % 2 == 0) call.request.max_response = 0;
        call.hold = true;
        http_begin(&call);
        http_wait_pauses(&call, 1);
        expect_text(url(&script, "/slow"), trusting(), "slow");
        if (i < 2) http_cancel(&call);
        if (i >= 2) lsq_shutdown();
        http_wait(&call);
        expect_end(&call, LSQI_HTTP_CANCELLED, true);
        assert_int_equal(call.len, 0);
        http_call_free(&call);
    }
    call_init(&call, url(&script, "/"), trusting());
    call.request.max_response = 0;
    http_run(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_string_equal(call.data, "HTTP/1.1 0");
    http_call_free(&call);
    script_stop(&script);
}

static void broken_stream_or_session_is_told_as_sent(void **state) {
    static const char *const paths[] = {"/cut", "/end"};
    struct script script;

    SKIP_UNLESS_USABLE();
    script = script_start("server", "-", "h2,http/1.1");
    for (int i = 0; i < 4; i++) {
        struct http_call call;

        /* The second time on a connection that was used before. */
        if (i >= 2) expect_text(url(&script, "/"), trusting(), "HTTP/2.0 5");
        call_init(&call, url(&script, paths[i % 2]), trusting());
        call.request.body = "{}";
        call.request.body_len = 2;
        http_run(&call);
        expect_end(&call, LSQI_HTTP_BROKEN, true);
        http_call_free(&call);
    }
    script_stop(&script);
}

static void session_that_goes_away_is_not_used(void **state) {
    struct script script;

    SKIP_UNLESS_USABLE();
    script = script_start("server", "-", "h2,http/1.1");
    for (int i = 0; i < 10; i++) {
        expect_text(url(&script, "/goaway"), trusting(), "going");
        sleep_ms(20);
        expect_text(url(&script, "/"), trusting(), "HTTP/2.0 5");
    }
    script_stop(&script);
}

/* ---- The end of the program ---- */

static size_t take_all(void *arg, const char *data, size_t len) {
    (void)arg, (void)data;
    return len;
}

static void begin_again(void *arg, const struct lsqi_http_end *end) {
    struct lsqi_http *http;

    (void)end;
    (void)lsqi_http_start(&http, arg, NULL);
}

/* OpenSSL cleans up at exit(): not under a thread that is in the middle of a handshake, or of a record.
 * Argument: "URL CA MS". */
static int end_under_tls(const char *argument) {
    static const struct lsqi_http_events events = {.body = take_all, .done = begin_again};
    static struct lsqi_http_request request = {.events = &events, .arg = &request};
    static char where[128];
    char ca[128];
    int ms;
    struct lsqi_http_peer_config cfg = {.proxy = "", .ca_file = ca};
    struct lsqi_http *http;

    if (sscanf(argument, "%127s %127s %d", where, ca, &ms) != 3) return 1;
    request.url = where;
    if (lsqi_http_peer_new(&request.peer, &cfg, NULL) != LSQ_OK) return 2;
    for (int i = 0; i < 20; i++)
        if (lsqi_http_start(&http, &request, NULL) != LSQ_OK) return 3;
    sleep_ms(ms);
    exit(0);
}

static void program_ends_while_tls_is_under_way(void **state) {
    static const char *const protocols[] = {"http/1.1", "h2,http/1.1"};

    SKIP_UNLESS_USABLE();
    for (int i = 0; i < 24; i++) {
        struct script script = script_start("server", "-", protocols[i % 2]);
        char argument[300];
        struct child child;

        snprintf(argument, sizeof(argument), "%s %s %d", url(&script, "/large"), file("ca.pem"),
                 i * 5);
        child = child_begin("end_under_tls", argument);
        assert_int_equal(child_end(&child), 0);
        script_stop(&script);
    }
}

/* ---- WebSockets ---- */

enum { LONG_MESSAGE = 3000001 };

struct socket_call {
    struct lsqi_ws_config cfg;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *text;
    bool same;
    bool over;
    struct lsqi_ws *ws;
    enum lsqi_http_end_kind kind;
};

static void socket_over(struct socket_call *call) {
    pthread_mutex_lock(&call->lock);
    call->over = true;
    pthread_cond_signal(&call->changed);
    pthread_mutex_unlock(&call->lock);
}

static void on_socket_message(void *arg, const char *data, size_t len) {
    struct socket_call *call = arg;

    call->same = len == LONG_MESSAGE && memcmp(data, call->text, len) == 0;
    call->kind = LSQI_HTTP_DONE;
    lsqi_ws_close(call->ws);
    socket_over(call);
}

static void on_socket_closed(void *arg, const struct lsqi_ws_end *end) {
    struct socket_call *call = arg;

    call->kind = end->kind;
    socket_over(call);
}

static void begin_socket(void *arg) {
    struct socket_call *call = arg;
    const struct iovec part = {.iov_base = call->text, .iov_len = LONG_MESSAGE};

    if (lsqi_ws_open(&call->ws, &call->cfg, NULL) != LSQ_OK || !lsqi_ws_send(call->ws, &part, 1))
        abort();
}

/* Sends a long message, and gets it back. */
static enum lsqi_http_end_kind socket_run(const char *where, struct lsqi_http_peer_config peer) {
    static const struct lsqi_ws_events events = {.message = on_socket_message,
                                                 .closed = on_socket_closed};
    struct socket_call call = {.cfg = {.url = where,
                                       .protocol = "p",
                                       .connect_ms = 10000,
                                       .max_message = LONG_MESSAGE,
                                       .events = &events,
                                       .arg = &call}};

    peer.proxy = "";
    assert_int_equal(lsqi_http_peer_new(&call.cfg.peer, &peer, NULL), LSQ_OK);
    pthread_mutex_init(&call.lock, NULL);
    pthread_cond_init(&call.changed, NULL);
    call.text = malloc(LONG_MESSAGE);
    assert_non_null(call.text);
    for (size_t i = 0; i < LONG_MESSAGE; i++) call.text[i] = (char)('a' + i % 23);
    assert_int_equal(lsqi_http_post(begin_socket, &call, &last_error), LSQ_OK);
    pthread_mutex_lock(&call.lock);
    while (!call.over) pthread_cond_wait(&call.changed, &call.lock);
    pthread_mutex_unlock(&call.lock);
    assert_true(call.same || call.kind != LSQI_HTTP_DONE);
    lsqi_http_peer_unref(call.cfg.peer);
    free(call.text);
    return call.kind;
}

static void sockets_go_over_tls(void **state) {
    struct script script;

    (void)state;
    if (!usable) skip();
    script = script_start("server", "-", "http/1.1");
    assert_int_equal(socket_run(url(&script, "/"), trusting()), LSQI_HTTP_DONE);
    assert_int_equal(socket_run(url(&script, "/"), (struct lsqi_http_peer_config){.ca_file = NULL}),
                     LSQI_HTTP_TLS);
    script_stop(&script);
}

int main(int argc, char **argv) {
    static const struct child_role roles[] = {{"end_under_tls", end_under_tls}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_go_over_tls),
        cmocka_unit_test(own_authority_is_trusted_and_no_other),
        cmocka_unit_test(certificate_of_another_name_is_refused),
        cmocka_unit_test(server_without_tls_is_no_tls),
        cmocka_unit_test(client_certificate_is_shown),
        cmocka_unit_test(client_without_certificate_is_refused),
        cmocka_unit_test(many_share_a_connection_of_http_2),
        cmocka_unit_test(pieces_over_http_2_make_the_whole),
        cmocka_unit_test(deadline_and_cancel_end_their_stream_alone),
        cmocka_unit_test(paused_exchanges_take_little_and_leave_nothing),
        cmocka_unit_test(broken_stream_or_session_is_told_as_sent),
        cmocka_unit_test(session_that_goes_away_is_not_used),
        cmocka_unit_test(program_ends_while_tls_is_under_way),
    };

    child_main(argc, argv, roles, 1);
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
