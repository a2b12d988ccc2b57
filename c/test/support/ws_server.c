#include "ws_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "hrana/base64.h"
#include "net/sha1.h"

enum { FRAME_TEXT = 1, FRAME_LAST = 128, FRAME_MASKED = 128, LENGTH_2 = 126, LENGTH_8 = 127 };

/* ---- The agreement ---- */

void ws_accept_key(const char *head, char out[WS_ACCEPT]) {
    const char *key = strcasestr(head, "Sec-WebSocket-Key: ");
    unsigned char digest[LSQI_SHA1_BYTES];
    struct lsqi_buf text = {0};
    char joined[128];

    if (key == NULL) abort();
    snprintf(joined, sizeof(joined), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
    lsqi_sha1(joined, strlen(joined), digest);
    lsqi_base64_encode(&text, digest, sizeof(digest));
    snprintf(out, WS_ACCEPT, "%.*s", (int)text.len, text.data);
    lsqi_buf_release(&text);
}

bool ws_agree(struct peer *peer, const char *protocol) {
    char accept[WS_ACCEPT];
    char text[512];

    if (strcasestr(peer->head, "Upgrade: websocket") == NULL) return false;
    ws_accept_key(peer->head, accept);
    snprintf(text, sizeof(text),
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
             accept, protocol);
    return peer_send_text(peer, text);
}

/* ---- Messages ---- */

static bool read_all(int fd, void *to, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t n = recv(fd, (char *)to + done, len - done, 0);

        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

char *ws_read(struct peer *peer) {
    unsigned char head[14];
    size_t more;
    size_t len;
    char *text;

    if (!read_all(peer->fd, head, 2) || head[0] != (FRAME_LAST | FRAME_TEXT)) return NULL;
    if ((head[1] & FRAME_MASKED) == 0) return NULL;
    len = head[1] & 127;
    more = len == LENGTH_2 ? 2 : len == LENGTH_8 ? 8 : 0;
    if (!read_all(peer->fd, head + 2, more + 4)) return NULL;
    if (more > 0) len = 0;
    for (size_t i = 0; i < more; i++) len = len << 8 | head[2 + i];
    text = malloc(len + 1);
    if (text == NULL || !read_all(peer->fd, text, len)) {
        free(text);
        return NULL;
    }
    for (size_t i = 0; i < len; i++) text[i] = (char)(text[i] ^ head[2 + more + i % 4]);
    text[len] = '\0';
    return text;
}

bool ws_send(struct peer *peer, const char *text) {
    size_t len = strlen(text);
    unsigned char head[4] = {FRAME_LAST | FRAME_TEXT, (unsigned char)len};
    size_t head_len = 2;

    if (len > 0xffff) abort();
    if (len >= LENGTH_2) {
        head[1] = LENGTH_2;
        head[2] = (unsigned char)(len >> 8);
        head[3] = (unsigned char)(len & 255);
        head_len = 4;
    }
    return peer_send(peer, head, head_len) && peer_send(peer, text, len);
}
