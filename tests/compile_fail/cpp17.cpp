// A program that is compiled as C++17, which many compilers do unless told otherwise.
// flags: -std=c++17
// expect: candor needs C\+\+20: compile with -std=c\+\+20 or later
#include <candor/candor.hpp>
