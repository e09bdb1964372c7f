#include <stdint.h>
#include <string.h>

struct ring {
    uint8_t *bytes;
    size_t capacity;
    size_t head;
    size_t length;
};

/* Copies as much as fits and returns how much that was. */
size_t ring_write(struct ring *ring, const uint8_t *from, size_t count)
{
    size_t room = ring->capacity - ring->length;
    if (count > room)
        count = room;
    for (size_t i = 0; i < count; i++)
        ring->bytes[(ring->head + ring->length + i) % ring->capacity] = from[i];
    ring->length += count;
    return count;
}
