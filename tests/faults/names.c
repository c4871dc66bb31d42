/*
 * Preloaded into a worker: what the name NAMES_NAME leads to stands in the file NAMES_FILE, and may
 * change at any time: an address, or nothing, and then nobody knows the name.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
            struct addrinfo **list)
{
    resolver *real = (resolver *)dlsym(RTLD_NEXT, "getaddrinfo");
    const char *name = getenv("NAMES_NAME"), *path = getenv("NAMES_FILE");
    char address[64] = "";
    FILE *file;

    if (node == NULL || name == NULL || path == NULL || strcmp(node, name) != 0)
        return real(node, service, hints, list);
    file = fopen(path, "re");
    if (file == NULL)
        abort();
    if (fgets(address, sizeof(address), file) == NULL)
        address[0] = '\0';
    fclose(file);
    return address[0] == '\0' ? EAI_NONAME : real(address, service, hints, list);
}
