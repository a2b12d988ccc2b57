/* Local file systems pass, network ones are named, and no path is too strange to ask about. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "../support/db.h"
#include "engine/netfs.h"

static void local_file_systems_pass(void **state) {
    (void)state;
    assert_null(lsqi_netfs_name("/tmp"));
    assert_null(lsqi_netfs_name("/proc/self/mountinfo"));
    assert_null(lsqi_netfs_name("/sys"));
    assert_null(lsqi_netfs_name("/dev/shm"));
    assert_null(lsqi_netfs_name("/dev/null"));
}

static void missing_file_is_asked_of_its_folder(void **state) {
    char path[256];

    (void)state;
    assert_null(lsqi_netfs_name(db_path()));
    snprintf(path, sizeof(path), "%s/no/such/folder", db_path());
    assert_null(lsqi_netfs_name(path));
    assert_null(lsqi_netfs_name("no-such-file-in-this-folder"));
    assert_null(lsqi_netfs_name("no-such-folder/file"));
}

static void strange_paths(void **state) {
    static char path[3 * PATH_MAX];
    char link[256];

    (void)state;
    assert_null(lsqi_netfs_name(NULL));
    assert_null(lsqi_netfs_name(""));
    assert_null(lsqi_netfs_name("/"));
    assert_null(lsqi_netfs_name("////"));
    assert_null(lsqi_netfs_name("."));
    assert_null(lsqi_netfs_name(":memory:"));
    assert_null(lsqi_netfs_name("file:a?b=c"));
    assert_null(lsqi_netfs_name("\xff\xfe\n\t%s%n"));
    memset(path, 'a', sizeof(path) - 1);
    assert_null(lsqi_netfs_name(path)); /* one name that is too long */
    memset(path, '/', sizeof(path) - 1);
    assert_null(lsqi_netfs_name(path)); /* a folder that is */
    for (size_t len = PATH_MAX - 2; len < PATH_MAX + 2; len++) {
        memset(path, 'b', sizeof(path) - 1);
        path[len] = '/';
        path[len + 1] = '\0';
        assert_null(lsqi_netfs_name(path));
    }
    snprintf(link, sizeof(link), "%s", db_path());
    assert_int_equal(symlink(link, link), 0); /* a link to itself */
    assert_null(lsqi_netfs_name(link));
}

static void types_of_mounts(void **state) {
    (void)state;
    assert_null(lsqi_netfs_of_type("ext4"));
    assert_null(lsqi_netfs_of_type("fuse"));
    assert_null(lsqi_netfs_of_type("fuseblk"));
    assert_null(lsqi_netfs_of_type("fuse.ntfs-3g"));
    assert_null(lsqi_netfs_of_type("fuse.sshfs2"));
    assert_null(lsqi_netfs_of_type(""));
#ifdef __linux__
    assert_string_equal(lsqi_netfs_of_type("virtiofs"), "virtiofs");
    assert_string_equal(lsqi_netfs_of_type("fuse.sshfs"), "fuse.sshfs");
    assert_string_equal(lsqi_netfs_of_type("fuse.grpcfuse"), "fuse.grpcfuse");
#endif
}

static int count_fds(void) {
    int count = 0;

    for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) != -1;
    return count;
}

static void no_descriptor_is_left_open(void **state) {
    int before = count_fds();

    (void)state;
    for (int i = 0; i < 100; i++) assert_null(lsqi_netfs_name("/proc/self/status"));
    assert_int_equal(count_fds(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_file_systems_pass),
        cmocka_unit_test_teardown(missing_file_is_asked_of_its_folder, db_forget),
        cmocka_unit_test_teardown(strange_paths, db_forget),
        cmocka_unit_test(types_of_mounts),
        cmocka_unit_test(no_descriptor_is_left_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
