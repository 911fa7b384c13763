#include "greeting.h"

#include <stdlib.h>
#include <string.h>

char *greeting(const char *path, size_t length) {
  while (length > 0 && *path == '/') {
    path++;
    length--;
  }
  if (length == 0) {
    path = "world";
    length = strlen(path);
  }
  static const char before[] = "Hello, ", after[] = "!\n";
  char *text = malloc(sizeof before - 1 + length + sizeof after);
  if (!text) {
    abort();
  }
  memcpy(text, before, sizeof before - 1);
  memcpy(text + sizeof before - 1, path, length);
  memcpy(text + sizeof before - 1 + length, after, sizeof after);
  return text;
}
