/*
 * ISA-L's share of bench/micro: coefficients times shards, as its own library does it.
 *
 * isal SHARDS MATRIX RESULT SOURCES TARGETS LENGTH MILLISECONDS: reads SOURCES shards of LENGTH bytes and a
 * matrix of TARGETS rows, writes the target shards, and prints bytes of source per microsecond of CPU.
 */
#include <isa-l.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double cpu_microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static void transfer(const char *path, const char *mode, unsigned char *bytes, size_t length) {
  FILE *file = fopen(path, mode);
  size_t done = 0;
  if (file != NULL) {
    done = mode[0] == 'r' ? fread(bytes, 1, length, file) : fwrite(bytes, 1, length, file);
    if (fclose(file) != 0) done = 0;
  }
  if (done != length) {
    perror(path);
    exit(1);
  }
}

int main(int count, char **arguments) {
  if (count != 8) return 2;
  int sources = atoi(arguments[4]), targets = atoi(arguments[5]);
  size_t length = strtoul(arguments[6], NULL, 10);
  double limit = atof(arguments[7]) * 1e3;
  unsigned char matrix[32 * 16], tables[32 * 16 * 32], *shards[48];
  unsigned char *bytes = aligned_alloc(4096, (sources + targets) * length);
  if (bytes == NULL || sources > 32 || targets > 16) return 2;
  for (int i = 0; i < sources + targets; i++) shards[i] = bytes + i * length;
  transfer(arguments[1], "r", bytes, sources * length);
  transfer(arguments[2], "r", matrix, sources * targets);
  ec_init_tables(sources, targets, matrix, tables);
  /* touches every page before the clock runs */
  ec_encode_data(length, sources, targets, tables, shards, shards + sources);
  double began = cpu_microseconds(), spent;
  double runs = 0;
  do {
    ec_encode_data(length, sources, targets, tables, shards, shards + sources);
    runs++;
    spent = cpu_microseconds() - began;
  } while (spent < limit);
  transfer(arguments[3], "w", shards[sources], targets * length);
  printf("%f\n", runs * sources * length / spent);
  return 0;
}
