#!/usr/bin/env bash
# Makes .build/profiles_VERSION_ARCHITECTURE.deb of a release build, with dpkg alone: no network, no root. The same
# build gives the same bytes.
# Usage: packaging/debian/build.sh   (DEB_VERSION: instead of that of the changelog; DEB_MAINTAINER: who publishes
# it; DEB_LEVEL: of compression, 0 to 9)
set -euo pipefail
cd "$(dirname "$0")/../.."
binaries=${BINARIES:-.build/release}
folder=packaging/debian
version=${DEB_VERSION:-$(dpkg-parsechangelog -l "$folder/changelog" -S Version)}
maintainer=${DEB_MAINTAINER:-$(dpkg-parsechangelog -l "$folder/changelog" -S Maintainer)}
architecture=$(dpkg --print-architecture)
program=$("$binaries/profiled" --version | cut -d' ' -f2)
[ "${version%-*}" = "$program" ] ||
    { echo "$folder/changelog is about $version, but profiled says $program" >&2; exit 1; }
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(dpkg-parsechangelog -l "$folder/changelog" -S Timestamp)}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
umask 022
put() { install -D -m "$1" "$2" "$root/$3"; }
# Text that a program prints, as a compressed file.
page() { mkdir -p "$(dirname "$root/$1")"; "${@:2}" | gzip -9n > "$root/$1"; }

for program_path in usr/sbin/profiled usr/bin/profilectl; do
    put 755 "$binaries/${program_path##*/}" "$program_path"
    strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/$program_path"
done
page usr/share/man/man8/profiled.8.gz "$binaries/profiled" --help-man
page usr/share/man/man5/profiled.conf.5.gz "$binaries/profiled" --help-man-config
page usr/share/man/man1/profilectl.1.gz "$binaries/profilectl" help --man

completions=$root/usr/share
mkdir -p "$completions"/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
"$binaries/profilectl" completion bash > "$completions/bash-completion/completions/profilectl"
"$binaries/profilectl" completion fish > "$completions/fish/vendor_completions.d/profilectl.fish"
# zsh loads the file as the function that completes: it defines the functions, then completes this once.
{
    echo '#compdef profilectl'
    "$binaries/profilectl" completion zsh
    echo '_bash_complete -F _profilectl'
} > "$completions/zsh/vendor-completions/_profilectl"

put 644 $folder/profiled.service lib/systemd/system/profiled.service
put 644 $folder/profiled.conf etc/profiles/profiled.conf
put 644 $folder/logrotate etc/logrotate.d/profiles
put 644 $folder/copyright usr/share/doc/profiles/copyright
put 644 $folder/lintian-overrides usr/share/lintian/overrides/profiles
page usr/share/doc/profiles/changelog.Debian.gz cat $folder/changelog
for document in operations security packaging; do put 644 docs/$document.md usr/share/doc/profiles/$document.md; done
# Of the programs as they are in the package.
mkdir "$work/programs"
cp "$root/usr/sbin/profiled" "$root/usr/bin/profilectl" "$work/programs/"
page usr/share/doc/profiles/profiles.spdx.json.gz scripts/sbom.py "$work/programs"
for proto in Protos/profiles/v1/*.proto; do put 644 "$proto" "usr/share/profiles/$proto"; done

mkdir -p "$root/DEBIAN" "$work/debian"
printf 'Source: profiles\n\nPackage: profiles\nArchitecture: any\n' > "$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O root/usr/sbin/profiled root/usr/bin/profilectl)
depends=${depends#shlibs:Depends=}
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@DEPENDS@/$depends/" \
    -e "s/@MAINTAINER@/$maintainer/" -e "s/@SIZE@/$(du -sk --apparent-size "$root" | cut -f1)/" \
    $folder/control.in > "$root/DEBIAN/control"
printf '/etc/profiles/profiled.conf\n/etc/logrotate.d/profiles\n' > "$root/DEBIAN/conffiles"
put 644 $folder/templates DEBIAN/templates
for script in postinst prerm postrm; do put 755 $folder/$script DEBIAN/$script; done
(cd "$root" && find usr lib -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) > "$root/DEBIAN/md5sums"

find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
target=${TARGET:-.build}/profiles_${version}_$architecture.deb
# Under its name only once it is whole.
dpkg-deb --root-owner-group -Zxz "-z${DEB_LEVEL:-6}" --build "$root" "$work/package" > /dev/null
mv "$work/package" "$target"
echo "$target"
