#include "net/upgrade.h"

#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/clock.h"
#include "hrana/base64.h"
#include "net/sha1.h"

/* ---- The request ---- */

static void choose_key(char key[LSQI_UPGRADE_KEY + 1]) {
    unsigned char bytes[16] = {0};
    struct lsqi_buf text = {0};

    if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK) != (ssize_t)sizeof(bytes)) {
        int64_t now = lsqi_now_ns();

        memcpy(bytes, &now, sizeof(now));
    }
    lsqi_base64_encode(&text, bytes, sizeof(bytes));
    memset(key, 'A', LSQI_UPGRADE_KEY);
    if (!text.failed) memcpy(key, text.data, LSQI_UPGRADE_KEY);
    key[LSQI_UPGRADE_KEY] = '\0';
    lsqi_buf_release(&text);
}

static bool has_host(const char *const *headers) {
    for (; headers != NULL && *headers != NULL; headers++)
        if (strncasecmp(*headers, "Host:", 5) == 0) return true;
    return false;
}

void lsqi_upgrade_request(struct lsqi_buf *out, const char *url, const char *const *headers,
                          const char *protocol, char key[LSQI_UPGRADE_KEY + 1]) {
    const char *host = strstr(url, "://") + 3;
    size_t len = strcspn(host, "/");

    choose_key(key);
    lsqi_buf_add_text(out, "GET ");
    lsqi_buf_add_text(out, host[len] == '\0' ? "/" : host + len);
    lsqi_buf_add_text(out, " HTTP/1.1\r\n");
    if (!has_host(headers)) {
        lsqi_buf_add_text(out, "Host: ");
        lsqi_buf_add(out, host, len);
        lsqi_buf_add_text(out, "\r\n");
    }
    for (; headers != NULL && *headers != NULL; headers++) {
        lsqi_buf_add_text(out, *headers);
        lsqi_buf_add_text(out, "\r\n");
    }
    lsqi_buf_add_text(out,
                      "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Protocol: ");
    lsqi_buf_add_text(out, protocol);
    lsqi_buf_add_text(out, "\r\nSec-WebSocket-Key: ");
    lsqi_buf_add_text(out, key);
    lsqi_buf_add_text(out, "\r\n\r\n");
}

/* ---- The answer ---- */

/* What a header says, without white space around it. */
static bool value_of(const char *line, size_t len, const char *name, const char **value,
                     size_t *value_len) {
    size_t n = strlen(name);

    if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':') return false;
    line += n + 1, len -= n + 1;
    while (len > 0 && (*line == ' ' || *line == '\t')) line++, len--;
    while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t' || line[len - 1] == '\r'))
        len--;
    *value = line;
    *value_len = len;
    return true;
}

static bool is_text(const char *value, size_t len, const char *text, bool exact) {
    if (len != strlen(text)) return false;
    return exact ? memcmp(value, text, len) == 0 : strncasecmp(value, text, len) == 0;
}

/* What the server has to answer to a key. */
static bool accepts(const char *value, size_t len, const char *key) {
    static const char constant[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[LSQI_SHA1_BYTES];
    char text[LSQI_UPGRADE_KEY + sizeof(constant)];
    struct lsqi_buf expected = {0};
    bool same;

    memcpy(text, key, LSQI_UPGRADE_KEY);
    memcpy(text + LSQI_UPGRADE_KEY, constant, sizeof(constant));
    lsqi_sha1(text, sizeof(text) - 1, digest);
    lsqi_base64_encode(&expected, digest, sizeof(digest));
    same = !expected.failed && expected.len == len && memcmp(expected.data, value, len) == 0;
    lsqi_buf_release(&expected);
    return same;
}

/* "HTTP/1.1 101 ..." ; -1: it is none. */
static int status_of(const char *line, size_t len) {
    int status = 0;

    if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ') return -1;
    for (int i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9') return -1;
        status = status * 10 + (line[i] - '0');
    }
    return status;
}

int lsqi_upgrade_read(const char *data, size_t len, const char *key, const char *protocol,
                      size_t *used, bool *agreed) {
    const char *end = len == 0 ? NULL : memmem(data, len, "\r\n\r\n", 4);
    bool accepted = false;
    bool speaks = false;
    bool upgraded = false;
    bool extended = false;
    const char *line;
    int status;

    if (end == NULL) {
        bool may_be = memcmp(data, "HTTP/1.", len < 7 ? len : 7) == 0;

        return len >= LSQI_UPGRADE_MOST || !may_be ? -1 : 0;
    }
    *used = (size_t)(end - data) + 4;
    status = status_of(data, (size_t)(end - data));
    for (line = memchr(data, '\n', *used); line != NULL && line < end;) {
        const char *next;
        const char *value;
        size_t value_len;
        size_t n;

        line++;
        next = memchr(line, '\n', *used - (size_t)(line - data));
        n = (size_t)((next == NULL ? end : next) - line);

        if (value_of(line, n, "Sec-WebSocket-Accept", &value, &value_len))
            accepted = accepts(value, value_len, key);
        else if (value_of(line, n, "Sec-WebSocket-Protocol", &value, &value_len))
            speaks = is_text(value, value_len, protocol, true);
        else if (value_of(line, n, "Sec-WebSocket-Extensions", &value, &value_len))
            extended = value_len > 0;
        else if (value_of(line, n, "Upgrade", &value, &value_len))
            upgraded = is_text(value, value_len, "websocket", false);
        line = next;
    }
    *agreed = status == 101 && accepted && speaks && upgraded && !extended;
    return status;
}
