#ifndef CANDOR_TESTS_SUPPORT_SANITIZER_HPP
#define CANDOR_TESTS_SUPPORT_SANITIZER_HPP

/// Which sanitizer a test is built with, for what a sanitizer does not bear.
#if defined(__SANITIZE_ADDRESS__)
#define CANDOR_TESTS_ADDRESS_SANITIZER
#elif defined(__SANITIZE_THREAD__)
#define CANDOR_TESTS_THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CANDOR_TESTS_ADDRESS_SANITIZER
#elif __has_feature(thread_sanitizer)
#define CANDOR_TESTS_THREAD_SANITIZER
#endif
#endif

#endif
