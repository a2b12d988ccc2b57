#include "engine/netfs.h"

#include <stddef.h>

#ifdef __linux__

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The numbers are of linux/magic.h, which lacks some, and of those file systems' own sources. */
enum { FUSE = 0x65735546 };

static const struct magic {
    unsigned long number;
    const char *name;
} magics[] = {
    {0x6969, "nfs"},        {0xFF534D42, "cifs"},     {0xFE534D42, "smb"},
    {0x517B, "smb"},        {0x01021997, "9p"},       {0x5346414F, "afs"},
    {0x6B414653, "afs"},    {0x73757245, "coda"},     {0x564C, "ncp"},
    {0x00C36400, "ceph"},   {0x0BD00BD0, "lustre"},   {0x47504653, "gpfs"},
    {0x01161970, "gfs2"},   {0x7461636F, "ocfs2"},    {0x19830326, "beegfs"},
    {0xAAD7AAEA, "panfs"},  {0x20030528, "orangefs"}, {0x786F4256, "vboxsf"},
    {0xBACBACBC, "vmhgfs"}, {0x7C7C6673, "prl_fs"},
};

/* FUSE is all of these, and local ones such as ntfs-3g ("fuseblk"). */
static const char *const types[] = {
    "virtiofs",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.s3fs",
    "fuse.rclone",
    "fuse.osxfs",
    "fuse.grpcfuse",
    "fuse.ceph",
    "fuse.ceph-fuse",
    "fuse.gcsfuse",
    "fuse.goofys",
    "fuse.juicefs",
    "fuse.mount-s3",
    "fuse.mfs",
    "fuse.seaweedfs",
    "fuse.weed",
    "fuse.blobfuse",
    "fuse.blobfuse2",
    "fuse.davfs",
    "fuse.davfs2",
    "fuse.curlftpfs",
    "fuse.smbnetfs",
    "fuse.afpfs",
    "fuse.gvfsd-fuse",
    "fuse.vmhgfs-fuse",
    "fuse.prl_fsd",
    "fuse.hdfs",
    "fuse.fuse_dfs",
    "fuse.ossfs",
    "fuse.obsfs",
    "fuse.cosfs",
    "fuse.lizardfs",
    "fuse.sauna",
    "fuse.moosefs",
    "fuse.quobyte",
    "fuse.alluxio-fuse",
    "fuse.google-drive-ocamlfuse",
};

const char *lsqi_netfs_of_type(const char *type) {
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(type, types[i]) == 0) return types[i];
    return NULL;
}

/* ---- /proc/self/mountinfo: "36 35 98:0 /root /where options [fields] - type source options" ----
 *
 * Lines may be long (the layers of an overlay), so it is read word by word. */

struct words {
    int fd;
    size_t at;
    size_t end;
    char buffer[1024];
};

static int next_char(struct words *in) {
    ssize_t n;

    if (in->at == in->end) {
        do n = read(in->fd, in->buffer, sizeof(in->buffer));
        while (n < 0 && errno == EINTR);
        if (n <= 0) return -1;
        in->at = 0;
        in->end = (size_t)n;
    }
    return (unsigned char)in->buffer[in->at++];
}

/* Reads a word, cut to size. The character that ended it: ' ', '\n', or -1 at the end of the file. */
static int next_word(struct words *in, char *word, size_t size) {
    size_t len = 0;
    int c;

    while ((c = next_char(in)) != -1 && c != ' ' && c != '\n')
        if (len + 1 < size) word[len++] = (char)c;
    word[len] = '\0';
    return c;
}

/* A line: true if it is of the device, whose type is then in type. *end is what ended the line. */
static bool read_mount(struct words *in, const char *device, char *type, size_t size, int *end) {
    char word[64];
    bool ours = false;
    bool separated = false;
    bool found = false;
    int i = 0;

    do {
        *end = next_word(in, word, sizeof(word));
        if (i++ == 2) ours = strcmp(word, device) == 0;
        if (separated && ours && !found) {
            snprintf(type, size, "%s", word);
            found = true;
        }
        if (i > 6 && strcmp(word, "-") == 0) separated = true;
    } while (*end == ' ');
    return found;
}

/* Which FUSE it is, by the device number that its files have. */
static const char *fuse_name(const char *path) {
    struct words in = {.fd = -1};
    struct stat st;
    char device[32];
    char type[64];
    const char *name = NULL;
    int end = '\n';

    if (stat(path, &st) != 0) return NULL;
    snprintf(device, sizeof(device), "%u:%u", major(st.st_dev), minor(st.st_dev));
    in.fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (in.fd < 0) return NULL;
    while (end == '\n' && name == NULL)
        if (read_mount(&in, device, type, sizeof(type), &end)) name = lsqi_netfs_of_type(type);
    close(in.fd);
    return name;
}

static const char *name_of(const char *path, const struct statfs *fs) {
    unsigned long number = (unsigned long)fs->f_type & 0xFFFFFFFF;

    if (number == FUSE) return fuse_name(path);
    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
        if (number == magics[i].number) return magics[i].name;
    return NULL;
}

static int ask(const char *path, struct statfs *fs) {
    int rc;

    do rc = statfs(path, fs);
    while (rc != 0 && errno == EINTR);
    return rc;
}

/* The folder of path; false where it is too long to be one. */
static bool folder_of(const char *path, char folder[PATH_MAX]) {
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path) + 1;

    if (len >= PATH_MAX) return false;
    memcpy(folder, path, len);
    folder[len] = '\0';
    if (len == 0) memcpy(folder, ".", 2);
    return true;
}

const char *lsqi_netfs_name(const char *path) {
    char folder[PATH_MAX];
    struct statfs fs;

    if (path == NULL || path[0] == '\0') return NULL;
    if (ask(path, &fs) == 0) return name_of(path, &fs);
    if (!folder_of(path, folder) || ask(folder, &fs) != 0) return NULL;
    return name_of(folder, &fs);
}

#else

const char *lsqi_netfs_of_type(const char *type) {
    (void)type;
    return NULL;
}

const char *lsqi_netfs_name(const char *path) {
    (void)path;
    return NULL;
}

#endif
