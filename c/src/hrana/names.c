#include "hrana/names.h"

#include <stdint.h>
#include <string.h>

void lsqi_names_release(struct lsqi_names *names) {
    lsqi_buf_release(&names->text);
    lsqi_buf_release(&names->offsets);
    lsqi_buf_release(&names->pointers);
    names->count = 0;
}

void lsqi_names_reset(struct lsqi_names *names) {
    lsqi_buf_reset(&names->text);
    lsqi_buf_reset(&names->offsets);
    names->count = 0;
}

bool lsqi_names_add(struct lsqi_names *names, const char *text, size_t len) {
    size_t offset = text == NULL ? SIZE_MAX : names->text.len;

    if (len >= LSQI_NAMES_MOST || names->text.len >= LSQI_NAMES_MOST - len ||
        names->offsets.len >= LSQI_NAMES_MOST)
        return false;
    if (text != NULL) {
        lsqi_buf_add(&names->text, text, len);
        lsqi_buf_add(&names->text, "", 1);
    }
    lsqi_buf_add(&names->offsets, &offset, sizeof(offset));
    if (names->offsets.failed) names->text.failed = true;
    if (names->text.failed) return false;
    names->count++;
    return true;
}

const char *const *lsqi_names_list(struct lsqi_names *names) {
    struct lsqi_buf *list = &names->pointers;

    lsqi_buf_reset(list);
    if (!lsqi_buf_reserve(list, (names->count + 1) * sizeof(char *))) return NULL;
    for (size_t i = 0; i < names->count; i++) {
        const char *text = NULL;
        size_t offset;

        memcpy(&offset, names->offsets.data + i * sizeof(offset), sizeof(offset));
        if (offset != SIZE_MAX) text = names->text.data + offset;
        lsqi_buf_add(list, &text, sizeof(text));
    }
    return (const char *const *)(const void *)list->data;
}
