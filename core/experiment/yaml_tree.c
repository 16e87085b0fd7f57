/* A YAML text as a tree; see yaml_tree.h. libyaml gives the events; the nesting lies on a stack here,
 * so that no input decides how deep calls go. */
#include "experiment/yaml_tree.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* A list or map that is not closed yet. */
typedef struct level {
    dm_yaml *node;
    dm_yaml_entry *entries;        /* heap */
    size_t n, cap;
    const char *key;               /* waits for its value */
    dm_mark key_at;
    bool drop_value;               /* its key was a fault */
} level;

typedef struct anchor { const char *name; dm_yaml *node; } anchor;

typedef struct builder {
    const dm_origin *source;
    uint32_t first_column;         /* where the text begins in the source's first line */
    dm_arena *arena;
    dm_faults *faults;
    size_t *nodes;
    level stack[DM_YAML_DEPTH];
    int depth;
    anchor anchors[DM_YAML_ANCHORS];
    int n_anchors;
    const dm_yaml *root;
    bool stop, no_memory;
} builder;

#define FAULT(b, at, ...) dm_fault((b)->faults, DM_EINVAL, (at), __VA_ARGS__)
/* After which reading on makes no sense. */
#define FATAL(b, at, ...) ((b)->stop = true, FAULT(b, at, __VA_ARGS__))

static dm_mark mark_of(const builder *b, const yaml_mark_t *m)
{
    const uint32_t shift = m->line ? 0 : b->first_column;
    return (dm_mark){b->source, (uint32_t)m->line + 1, (uint32_t)m->column + 1 + shift};
}

static dm_yaml *new_node(builder *b, dm_yaml_kind kind, dm_mark at)
{
    dm_yaml *y = dm_alloc(b->arena, sizeof *y);

    if (!y) {
        b->no_memory = true;
        return NULL;
    }
    *y = (dm_yaml){.kind = kind, .at = at, .nodes = 1};
    return y;
}

/* False when there are too many. */
static bool count_nodes(builder *b, size_t n, dm_mark at)
{
    if (n > DM_YAML_NODES - *b->nodes) {
        FATAL(b, at, "more than %d values, with aliases expanded", DM_YAML_NODES);
        return false;
    }
    *b->nodes += n;
    return true;
}

static void name_anchor(builder *b, const yaml_char_t *name, dm_yaml *y)
{
    if (!name)
        return;
    if (b->n_anchors == DM_YAML_ANCHORS) {
        FATAL(b, y->at, "more than %d anchors", DM_YAML_ANCHORS);
        return;
    }
    b->anchors[b->n_anchors].node = y;
    if (!(b->anchors[b->n_anchors++].name = dm_strdup(b->arena, (const char *)name)))
        b->no_memory = true;
}

/* The last of its name, or NULL. */
static dm_yaml *find_anchor(const builder *b, const char *name)
{
    for (int i = b->n_anchors - 1; i >= 0; i--)
        if (!strcmp(b->anchors[i].name, name))
            return b->anchors[i].node;
    return NULL;
}

static void take_key(builder *b, level *l, const dm_yaml *y)
{
    l->key = y->text ? y->text : "";
    l->key_at = y->at;
    l->drop_value = true;
    if (y->kind != DM_YAML_SCALAR) {
        FAULT(b, y->at, "a key must be a word, not a list or map");
        return;
    }
    if (!strcmp(y->text, "<<") && !y->quoted) {
        FAULT(b, y->at, "merge keys ('<<') are not supported; write the keys out, or include a file with them");
        return;
    }
    for (size_t i = 0; i < l->n; i++) {
        if (!strcmp(l->entries[i].key, y->text)) {
            const char *first = dm_mark_text(b->arena, l->entries[i].at);

            FAULT(b, y->at, "duplicate key '%s', first at %s", dm_show(y->text).text, first ? first : "?");
            return;
        }
    }
    l->drop_value = false;
}

/* y as the next key, value or item of what is open. */
static void place(builder *b, dm_yaml *y)
{
    level *l = b->depth ? &b->stack[b->depth - 1] : NULL;

    if (!l) {
        b->root = y;
        return;
    }
    if (l->node->kind == DM_YAML_MAP && !l->key) {
        take_key(b, l, y);
        return;
    }
    if (!l->drop_value) {
        if (l->node->kind == DM_YAML_MAP && l->n == DM_YAML_KEYS) {
            FAULT(b, y->at, "more than %d keys in one map", DM_YAML_KEYS);
        } else if (!dm_grow((void **)&l->entries, l->n, &l->cap, sizeof *l->entries)) {
            b->no_memory = true;
        } else {
            l->entries[l->n++] = (dm_yaml_entry){l->key, l->key ? l->key_at : y->at, y};
            l->node->nodes += y->nodes + (l->key != NULL);
        }
    }
    l->key = NULL;
    l->drop_value = false;
}

static void refuse_tag(builder *b, const yaml_char_t *tag, dm_mark at)
{
    if (tag && strcmp((const char *)tag, "!"))
        FAULT(b, at, "tag '%s' is not supported; the key determines the type", dm_show((const char *)tag).text);
}

static void on_scalar(builder *b, const yaml_event_t *e)
{
    const size_t n = e->data.scalar.length;
    const dm_mark at = mark_of(b, &e->start_mark);
    dm_yaml *y;

    refuse_tag(b, e->data.scalar.tag, at);
    if (memchr(e->data.scalar.value, 0, n))
        FAULT(b, at, "text contains a NUL character");
    if (!count_nodes(b, 1, at) || !(y = new_node(b, DM_YAML_SCALAR, at)))
        return;
    y->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (!(y->text = dm_strndup(b->arena, (const char *)e->data.scalar.value, n))) {
        b->no_memory = true;
        return;
    }
    name_anchor(b, e->data.scalar.anchor, y);
    place(b, y);
}

static void on_start(builder *b, dm_yaml_kind kind, const yaml_event_t *e, const yaml_char_t *anchor_name,
                     const yaml_char_t *tag)
{
    const dm_mark at = mark_of(b, &e->start_mark);
    dm_yaml *y;

    refuse_tag(b, tag, at);
    if (b->depth == DM_YAML_DEPTH) {
        FATAL(b, at, "nested deeper than %d", DM_YAML_DEPTH);
        return;
    }
    if (!count_nodes(b, 1, at) || !(y = new_node(b, kind, at)))
        return;
    name_anchor(b, anchor_name, y);
    b->stack[b->depth++] = (level){.node = y};
}

static void on_end(builder *b)
{
    level *l = &b->stack[b->depth - 1];
    dm_yaml *y = l->node;

    y->n = l->n;
    if (!(y->entry = dm_memdup(b->arena, l->entries, l->n * sizeof *l->entries)))
        b->no_memory = true;
    free(l->entries);
    b->depth--;
    place(b, y);
}

static void on_alias(builder *b, const yaml_event_t *e)
{
    const char *name = (const char *)e->data.alias.anchor;
    const dm_mark at = mark_of(b, &e->start_mark);
    dm_yaml *y = find_anchor(b, name);

    if (!y) {
        FATAL(b, at, "alias '*%s' has no preceding anchor", dm_show(name).text);
        return;
    }
    for (int i = 0; i < b->depth; i++) {
        if (b->stack[i].node == y) {
            FATAL(b, at, "alias '*%s' refers to a value that contains it", dm_show(name).text);
            return;
        }
    }
    if (count_nodes(b, y->nodes, at))
        place(b, y);
}

/* False when the text is over. */
static bool on_event(builder *b, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_STREAM_END_EVENT: return false;
    case YAML_DOCUMENT_START_EVENT:
        if (b->root)
            FATAL(b, mark_of(b, &e->start_mark), "a second document starts here; only one is allowed");
        break;
    case YAML_SCALAR_EVENT: on_scalar(b, e); break;
    case YAML_SEQUENCE_START_EVENT:
        on_start(b, DM_YAML_LIST, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
        break;
    case YAML_MAPPING_START_EVENT:
        on_start(b, DM_YAML_MAP, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: on_end(b); break;
    case YAML_ALIAS_EVENT: on_alias(b, e); break;
    default: break;
    }
    return true;
}

/* libyaml gives the byte of an encoding error, without line and column. */
static dm_mark mark_of_byte(const builder *b, const char *text, size_t n, size_t offset)
{
    yaml_mark_t m = {0};

    for (size_t i = 0; i < n && i < offset; i++) {
        m.column += ((unsigned char)text[i] & 0xc0) != 0x80;
        if (text[i] == '\n') {
            m.line++;
            m.column = 0;
        }
    }
    return mark_of(b, &m);
}

static void on_error(builder *b, const yaml_parser_t *p, const char *text, size_t n)
{
    const char *problem = p->problem ? p->problem : "not YAML";

    if (p->error == YAML_MEMORY_ERROR) {
        b->no_memory = true;
    } else if (p->error == YAML_READER_ERROR) {
        FATAL(b, mark_of_byte(b, text, n, p->problem_offset), "%s (the text must be UTF-8)", problem);
    } else if (p->context) {
        FATAL(b, mark_of(b, &p->problem_mark), "%s, %s that begins in line %zu", problem, p->context,
              p->context_mark.line + 1);
    } else {
        FATAL(b, mark_of(b, &p->problem_mark), "%s", problem);
    }
}

static void build(builder *b, const char *text, size_t n)
{
    yaml_parser_t parser;
    yaml_event_t event;
    bool more = true;

    if (!yaml_parser_initialize(&parser)) {
        b->no_memory = true;
        return;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    while (more && !b->no_memory) {
        if (!yaml_parser_parse(&parser, &event)) {
            on_error(b, &parser, text, n);
            break;
        }
        more = on_event(b, &event) && !b->stop;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    while (b->depth > 0)
        free(b->stack[--b->depth].entries);
}

dm_status dm_yaml_parse(const dm_origin *s, size_t skip, size_t *nodes, dm_arena *a, dm_faults *f, const dm_yaml **root,
                        dm_err *err)
{
    const dm_mark whole = {s, 0, 0};
    builder *b;
    dm_status rc = DM_OK;

    *root = NULL;
    if (s->n - skip > DM_YAML_BYTES) {
        dm_fault(f, DM_EINVAL, whole, "text of %zu bytes is larger than %d", s->n - skip, DM_YAML_BYTES);
        return DM_OK;
    }
    if (!(b = calloc(1, sizeof *b)))
        return dm_error(err, DM_ENOMEM, "out of memory");
    b->source = s;
    b->arena = a;
    b->faults = f;
    b->nodes = nodes;
    for (size_t i = 0; i < skip; i++)
        b->first_column += ((unsigned char)s->text[i] & 0xc0) != 0x80;
    if (!skip && s->n >= 3 && !memcmp(s->text, "\xef\xbb\xbf", 3))
        skip = 3; /* the mark that some editors put before UTF-8; it takes no column */
    build(b, s->text + skip, s->n - skip);
    if (b->no_memory || f->lost)
        rc = dm_error(err, DM_ENOMEM, "out of memory");
    else if (!b->stop)
        *root = b->root;
    if (!rc && !b->stop && !b->root)
        dm_fault(f, DM_EINVAL, whole, "it is empty");
    free(b);
    return rc;
}

const dm_yaml_entry *dm_yaml_find(const dm_yaml *y, const char *key)
{
    for (size_t i = 0; y->kind == DM_YAML_MAP && i < y->n; i++)
        if (!strcmp(y->entry[i].key, key))
            return &y->entry[i];
    return NULL;
}

bool dm_yaml_is_null(const dm_yaml *y)
{
    return y->kind == DM_YAML_SCALAR && !y->quoted &&
           (!*y->text || !strcmp(y->text, "~") || !strcmp(y->text, "null") || !strcmp(y->text, "Null") ||
            !strcmp(y->text, "NULL"));
}
