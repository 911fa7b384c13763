// What the service says. It knows nothing of HTTP, so that it is tested without a server.
#pragma once

#include <stddef.h>

// Greets whom the path names: `/Ada` is `Hello, Ada!`. The text is the caller's to free.
char *greeting(const char *path, size_t length);
