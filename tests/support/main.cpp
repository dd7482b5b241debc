// The main function that every test program shares.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

// Some tests fork while threads run, and the child starts threads of its own; ThreadSanitizer would end it for that. At
// the end of a process it lets threads come to their own end for a second, and here many processes end.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "die_after_fork=0:atexit_sleep_ms=50"; }

// It thinks that a number is still that of the file for which it saw it opened, where a program has closed all it knows
// and opens files of its own.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "race:closed_descriptors_test\n"; }
