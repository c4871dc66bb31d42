/*
 * A doubly linked list whose links live in the items. Not thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct ew_link {
    struct ew_link *prev, *next; /* both NULL while in no list */
};

struct ew_list {
    struct ew_link head;
};

static inline void
ew_list_init(struct ew_list *list)
{
    list->head.prev = list->head.next = &list->head;
}

static inline bool
ew_list_empty(const struct ew_list *list)
{
    return list->head.next == &list->head;
}

static inline bool
ew_link_linked(const struct ew_link *link)
{
    return link->next != NULL;
}

static inline void
ew_list_append(struct ew_list *list, struct ew_link *link)
{
    link->prev = list->head.prev;
    link->next = &list->head;
    list->head.prev->next = link;
    list->head.prev = link;
}

/* Harmless on a link that is in no list. */
static inline void
ew_link_remove(struct ew_link *link)
{
    if (link->next == NULL)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = NULL;
}

/* The first link, or NULL. */
static inline struct ew_link *
ew_list_first(const struct ew_list *list)
{
    /* The analyzer does not know that the first link's neighbour is the list: it believes one that
     * was removed to be still here. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    return ew_list_empty(list) ? NULL : list->head.next;
}

/* The one after `link`, or NULL at the end. */
static inline struct ew_link *
ew_list_next(const struct ew_list *list, const struct ew_link *link)
{
    return link->next == &list->head ? NULL : link->next;
}

#define EW_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
