/* Answers as a real server wrote them (sqld 0.24.32; turned.pipeline is by hand), in c/fuzz/corpus/hrana/: what is
 * told of each stands in expected/. LSQ_TEST_WRITE=1 writes those files anew, to be read before they are kept. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/answer.h"
#include "../support/db.h"

static const char answers[] = "c/fuzz/corpus/hrana";
static const char expected[] = "c/test/hrana/expected";

static const struct {
    const char *ending;
    enum lsqi_hrana_form form;
} forms[] = {
    {".pipeline", LSQI_HRANA_PIPELINE},
    {".cursor", LSQI_HRANA_CURSOR},
    {".failure", LSQI_HRANA_FAILURE},
};

/* Calls fn for each recorded answer. */
static void each_answer(void (*fn)(const char *name, enum lsqi_hrana_form form, const char *data,
                                   size_t len)) {
    DIR *folder = opendir(answers);
    struct dirent *entry;
    size_t count = 0;

    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        const char *ending = strrchr(entry->d_name, '.');
        char path[512];
        size_t len;
        char *data;

        for (size_t i = 0; ending != NULL && i < sizeof(forms) / sizeof(forms[0]); i++) {
            if (strcmp(ending, forms[i].ending) != 0) continue;
            snprintf(path, sizeof(path), "%s/%s", answers, entry->d_name);
            data = read_whole(path, &len);
            fn(entry->d_name, forms[i].form, data, len);
            free(data);
            count++;
        }
    }
    closedir(folder);
    assert_true(count >= 10);
}

static void expected_path(char path[512], const char *name) {
    snprintf(path, 512, "%s/%s.txt", expected, name);
}

static void write_expected(const char *name, const char *text) {
    char path[512];
    FILE *file;

    expected_path(path, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void check_told(const char *name, enum lsqi_hrana_form form, const char *data, size_t len) {
    struct transcript transcript;
    char path[512];
    char *text;
    size_t ignored;

    transcript_init(&transcript);
    transcribe(&transcript, form, data, len, len, SIZE_MAX, &last_error);
    if (getenv("LSQ_TEST_WRITE") != NULL) write_expected(name, transcript.text.data);
    expected_path(path, name);
    text = read_whole(path, &ignored);
    if (strcmp(text, transcript.text.data) != 0)
        fail_msg("%s:\n%s\nnot\n%s", name, transcript.text.data, text);
    free(text);
    lsqi_buf_release(&transcript.text);
}

static void answers_are_told_as_they_are(void **state) {
    (void)state;
    each_answer(check_told);
}

/* What is told in one piece, to compare others with. */
static char *told_at_once(enum lsqi_hrana_form form, const char *data, size_t len) {
    struct transcript transcript;

    transcript_init(&transcript);
    transcribe(&transcript, form, data, len, len, SIZE_MAX, &last_error);
    return transcript.text.data; /* the buffer's memory is the transcript's */
}

static void check_pieces(const char *name, enum lsqi_hrana_form form, const char *data,
                         size_t len) {
    char *whole = told_at_once(form, data, len);
    struct transcript transcript;

    transcript_init(&transcript);
    for (size_t piece = 1; piece <= len; piece++) {
        for (size_t room = 1; room <= 3; room++) {
            lsqi_buf_reset(&transcript.text);
            transcribe(&transcript, form, data, len, piece, room == 3 ? SIZE_MAX : room,
                       &last_error);
            if (strcmp(whole, transcript.text.data) != 0)
                fail_msg("%s in pieces of %zu, %zu rows at a time:\n%s\nnot\n%s", name, piece, room,
                         transcript.text.data, whole);
        }
    }
    lsqi_buf_release(&transcript.text);
    lsqi_buf_release(&(struct lsqi_buf){.data = whole});
}

static void pieces_make_no_difference(void **state) {
    (void)state;
    each_answer(check_pieces);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_told_as_they_are),
        cmocka_unit_test(pieces_make_no_difference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
