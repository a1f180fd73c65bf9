#define _GNU_SOURCE
#include "mapping.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A range, or a free place for one, whose end is 0. Places are never freed, so the signal's handler
   can follow the list at any time. */
struct decant_mapping {
  _Atomic(uintptr_t) start, end;
  atomic_int lost;
  struct decant_mapping *next;
};

static _Atomic(struct decant_mapping *) mappings;
/* Guards the choice of a free place and the installation of the handler. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int installed;
static uintptr_t page_size;
static struct sigaction previous;

/* Runs on the thread that read the page. Uses atomic loads and stores, and system calls. */
static void on_bus_error(int number, siginfo_t *info, void *context) {
  (void)context;
  int code = errno;
  uintptr_t address = (uintptr_t)info->si_addr;
  /* A signal that a process sent has no address, and a code that is not positive. */
  struct decant_mapping *mapping = info->si_code > 0 ? atomic_load(&mappings) : NULL;
  for (; mapping != NULL; mapping = mapping->next) {
    uintptr_t start = atomic_load(&mapping->start), end = atomic_load(&mapping->end);
    if (address < start || address >= end) continue;
    /* Before any thread can read the zeros. */
    atomic_store(&mapping->lost, 1);
    uintptr_t page = address & ~(page_size - 1);
    void *zeros = mmap((void *)page, end - page, PROT_READ,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (zeros == MAP_FAILED) break;
    errno = code;
    return;
  }
  /* The reading that failed is repeated and then has the action of before; a signal that was sent is
     sent again. */
  sigaction(number, &previous, NULL);
  if (info->si_code <= 0) raise(number);
  errno = code;
}

static void install(void) {
  if (installed) return;
  page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
  struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  installed = sigaction(SIGBUS, &action, &previous) == 0;
}

struct decant_mapping *decant_watch_mapping(const void *start, size_t length) {
  pthread_mutex_lock(&lock);
  install();
  struct decant_mapping *mapping = atomic_load(&mappings);
  while (mapping != NULL && atomic_load(&mapping->end) != 0) mapping = mapping->next;
  if (mapping == NULL) {
    mapping = calloc(1, sizeof *mapping);
    if (mapping != NULL) {
      mapping->next = atomic_load(&mappings);
      atomic_store(&mappings, mapping);
    }
  }
  if (mapping != NULL) {
    atomic_store(&mapping->lost, 0);
    atomic_store(&mapping->start, (uintptr_t)start);
    atomic_store(&mapping->end, (uintptr_t)start + length);
  }
  pthread_mutex_unlock(&lock);
  return mapping;
}

void decant_forget_mapping(struct decant_mapping *mapping) {
  pthread_mutex_lock(&lock);
  atomic_store(&mapping->end, 0);
  pthread_mutex_unlock(&lock);
}

int decant_mapping_is_lost(const struct decant_mapping *mapping) {
  return atomic_load(&mapping->lost);
}

void decant_touch_pages(const void *start, size_t length) {
  const volatile uint8_t *bytes = start;
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  for (size_t at = 0; at < length; at += page) (void)bytes[at];
  if (length > 0) (void)bytes[length - 1];
}
