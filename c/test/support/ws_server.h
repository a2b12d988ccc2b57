/* ws_server.h - what a server of server.h says to speak WebSocket: the agreement, and text messages of one frame.
 * Threads: the peer's own. */
#ifndef LSQ_TEST_SUPPORT_WS_SERVER_H
#define LSQ_TEST_SUPPORT_WS_SERVER_H

#include "server.h"

enum { WS_ACCEPT = 64 };

/* What the answer to a request's head has to have as Sec-WebSocket-Accept. */
void ws_accept_key(const char *head, char out[WS_ACCEPT]);
/* After peer_read(): agrees to the request. False: the client has gone, or asked for no WebSocket. */
bool ws_agree(struct peer *peer, const char *protocol);
/* The client's next text message; the caller frees it. NULL: it closes, or has gone. */
char *ws_read(struct peer *peer);
/* False: the client has gone. */
bool ws_send(struct peer *peer, const char *text);

#endif
