/* The end of the library's own threads, of all layers: so it stands above them. */
#include "base/helper.h"
#include "lsq/lsq.h"
#include "net/http.h"

/* What remote work was going on ends first, and what that leaves to the helper is done; a helper's task may begin
 * a request, but once. */
void lsq_shutdown(void) {
    (void)lsqi_http_shutdown();
    do lsqi_helper_shutdown();
    while (lsqi_http_shutdown());
}
