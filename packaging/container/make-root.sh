#!/usr/bin/env bash
# Makes the root of an image: the two programs, the libraries that they load with their copyright files, a user, and an
# empty data directory. No shell, no package manager.
# Usage: packaging/container/make-root.sh DIR [BINARIES]
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$1
binaries=${2:-.build/release}
# As distroless images have it: 65532 is nobody's.
user=65532

mkdir -p "$root"/{usr/bin,etc,tmp}
for program in profiled profilectl; do
    install -m 755 "$binaries/$program" "$root/usr/bin/$program"
    strip --strip-unneeded "$root/usr/bin/$program"
done

# The libraries, and the loader, at the paths where the programs look for them. The kernel's own has none.
mapfile -t libraries < <(ldd "$binaries/profiled" "$binaries/profilectl" |
    sed -nE 's#^\t(.* => )?(/[^ ]+) \(0x.*#\2#p' | sort -u)
[ ${#libraries[@]} -gt 0 ] || { echo "ldd names no library of $binaries/profiled" >&2; exit 1; }
for library in "${libraries[@]}"; do
    case $library in
    */swift/*) echo "$library belongs to a toolchain: build with -c release" >&2; exit 1 ;;
    esac
    install -D -m 755 "$(readlink -f "$library")" "$root$library"
    package=$(dpkg-query -S "$(readlink -f "$library")" 2> /dev/null || dpkg-query -S "$library")
    package=${package%%:*}
    install -D -m 644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
done

printf 'root:x:0:0::/:/usr/bin/false\nprofiles:x:%d:%d::/data:/usr/bin/false\n' $user $user > "$root/etc/passwd"
printf 'root:x:0:\nprofiles:x:%d:\n' $user > "$root/etc/group"
install -d -m 700 "$root/data"
chmod 1777 "$root/tmp"
# Without root, as in a test, the image's COPY gives the owner.
[ "$(id -u)" -ne 0 ] || chown $user:$user "$root/data"
