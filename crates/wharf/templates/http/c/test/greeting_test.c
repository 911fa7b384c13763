#include "../greeting.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void check(const char *path, const char *expected) {
  char *said = greeting(path, strlen(path));
  assert(strcmp(said, expected) == 0);
  free(said);
}

int main(void) {
  check("/", "Hello, world!\n");
  check("/Ada", "Hello, Ada!\n");
}
