#!/bin/sh
# usage: .github/release.sh NOTES
# Makes the release of the tag GITHUB_REF_NAME, with what is in dist/; where it is made already, ARNs are added to its notes.
set -eu
notes=$1 tag=$GITHUB_REF_NAME
if gh release view "$tag" >/dev/null 2>&1; then
    gh release view "$tag" --json body --jq .body >before.md
    { cat before.md && sed -n '/^## Layers/,$p' "$notes"; } >both.md
    gh release edit "$tag" --notes-file both.md
    gh release upload "$tag" dist/* --clobber
else
    gh release create "$tag" dist/* --verify-tag --title "$tag" --notes-file "$notes"
fi
