/* What the three stand-ins share: FAKE holds rules `function:n:what`, separated by commas. From its nth call on (from 1) the
 * function answers the code `what`, or `hang`s, or `crash`es. FAKE_LOG names a file that gets the name of every call. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_GPUS 16
#define OUT __attribute__((visibility("default")))

__attribute__((unused)) static int gpu_count(void) {
  const char *text = getenv("FAKE_GPUS");
  return text ? atoi(text) : 1;
}

__attribute__((unused)) static int is_set(const char *name) { return getenv(name) != NULL; }

/* The code that the rules have for this call; 0 without one. */
static int rule_for(const char *name) {
  static struct { char name[64]; int count; } calls[128];
  static int known;
  int at = 0;
  while (at < known && strcmp(calls[at].name, name)) at++;
  if (at == known && known < 128) snprintf(calls[known++].name, 64, "%s", name);
  int nth = ++calls[at].count;
  const char *log = getenv("FAKE_LOG");
  if (log) {
    FILE *file = fopen(log, "a");
    if (file) { fprintf(file, "%s\n", name); fclose(file); }
  }
  const char *rules = getenv("FAKE");
  char copy[1024], *state = NULL;
  snprintf(copy, sizeof copy, "%s", rules ? rules : "");
  for (char *rule = strtok_r(copy, ",", &state); rule; rule = strtok_r(NULL, ",", &state)) {
    char who[64], what[32];
    int from;
    if (sscanf(rule, "%63[^:]:%d:%31s", who, &from, what) != 3 || strcmp(who, name) || nth < from) continue;
    if (!strcmp(what, "hang")) for (;;) pause();
    if (!strcmp(what, "crash")) *(volatile int *)0 = 1;
    return atoi(what);
  }
  return 0;
}
