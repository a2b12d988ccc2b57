/* The fuzzer's own check (c/fuzz/hrana_fuzz.c) over its corpus, for machines without libFuzzer. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../fuzz/hrana_fuzz.c"
#include "../support/db.h"

static void nothing_in_the_corpus_is_told_in_two_ways(void **state) {
    DIR *folder = opendir(ANSWERS);
    struct dirent *entry;
    size_t count = 0;

    (void)state;
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        char path[512];
        size_t len;
        char *data;

        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof(path), "%s/%s", ANSWERS, entry->d_name);
        data = read_whole(path, &len);
        LLVMFuzzerTestOneInput((const uint8_t *)data, len);
        free(data);
        count++;
    }
    closedir(folder);
    assert_true(count >= 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_in_the_corpus_is_told_in_two_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
