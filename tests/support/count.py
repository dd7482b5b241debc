"""Counts the tests in a JUnit file of CTest or Meson and prints `N passed, M failed, K skipped`.

A doctest program counts as its test cases, anything else as one test.
"""

import re
import sys
import xml.etree.ElementTree

SUMMARY = re.compile(r"\[doctest\] test cases: +\d+ \| +(\d+) passed \| +(\d+) failed \| +(\d+) skipped")


def count(path):
    passed = failed = skipped = 0
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        has = {child.tag for child in case}
        broken = bool(has & {"failure", "error"}) or case.get("status") == "fail"
        summary = SUMMARY.search(case.findtext("system-out") or "")
        if summary:
            ok, bad, left_out = map(int, summary.groups())
            passed += ok
            failed += bad if bad or not broken else 1  # a sanitizer's report, or a crash after the last case
            skipped += left_out
        elif broken:
            failed += 1
        elif "skipped" in has or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


if __name__ == "__main__":
    passed, failed, skipped = count(sys.argv[1])
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or not passed else 0)
