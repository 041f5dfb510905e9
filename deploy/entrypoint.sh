#!/bin/sh
# The container's entry point. Where mercure runs it as a module, MERCURE_IN_DIR holds one series, and the thin one is
# to lie in MERCURE_OUT_DIR; options of `thinslice enhance` stand in THINSLICE_OPTIONS. Else it runs its arguments.
set -eu

if [ -n "${MERCURE_IN_DIR:-}" ] && [ -n "${MERCURE_OUT_DIR:-}" ]; then
    # mercure makes the output folder and keeps it: the result goes into one of its own, and its images move up.
    made="$MERCURE_OUT_DIR/.thinslice-result"
    trap 'rm -rf "$made"' EXIT
    # shellcheck disable=SC2086 - options are words
    thinslice --version >&2
    thinslice enhance -i "$MERCURE_IN_DIR" -o "$made" --quiet ${THINSLICE_OPTIONS:---fit none}
    for image in "$made"/*.dcm; do
        mv "$image" "$MERCURE_OUT_DIR/"
    done
    exit 0
fi
exec "$@"
