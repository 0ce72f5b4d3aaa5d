"""Prints, as JSON, what `rwsgi dockerize` must know of the interpreter that it puts into an image."""

import json
import os
import re
import site
import ssl
import sys
import sysconfig

VERSION = "python%d.%d" % sys.version_info[:2]


def running_libpython():
    """The shared library that this very process runs; a program that has Python linked in runs none."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            found = re.search(r"/.*/libpython\d[^/]*\.so[^/]*$", line.rstrip())
            if found:
                return found.group()
    return None


def libpython():
    """The one that is installed beside a program that has it linked in."""
    name = sysconfig.get_config_var("INSTSONAME") or ""
    directory = sysconfig.get_config_var("LIBDIR") or ""
    for place in (directory, os.path.join(directory, sysconfig.get_config_var("MULTIARCH") or "")):
        if ".so" in name and os.path.exists(os.path.join(place, name)):
            return os.path.join(place, name)
    return None


def extension_directory(stdlib):
    """Where the standard library's own extension modules are."""
    for entry in sys.path:
        if os.path.basename(entry) == "lib-dynload" and os.path.isdir(entry):
            return entry
    return os.path.join(stdlib, "lib-dynload")


def modules(stdlib):
    """The names of the standard library's modules, which Python itself knows from 3.10 on."""
    known = getattr(sys, "stdlib_module_names", None)
    if known is None:
        listed = os.listdir(stdlib) + os.listdir(extension_directory(stdlib))
        known = {name.split(".")[0] for name in listed if "-" not in name.split(".")[0]} | set(sys.builtin_module_names)
    return sorted(known)


def packages_directory():
    """Where the interpreter will look for packages when its prefix is /usr/local."""
    wanted = ["/usr/local/lib/%s/%s" % (VERSION, name) for name in ("site-packages", "dist-packages")]
    for directory in site.getsitepackages(["/usr/local"]):
        if directory in wanted:
            return directory
    return wanted[0]


def zone_directory():
    """The system's time zones."""
    for directory in (sysconfig.get_config_var("TZPATH") or "").split(os.pathsep):
        if os.path.isdir(os.path.join(directory, "Europe")):
            return directory
    return None


stdlib = os.path.dirname(os.path.abspath(os.__file__))
defaults = ssl.get_default_verify_paths()
json.dump(
    {
        "version": "%d.%d" % sys.version_info[:2],
        "full_version": "%d.%d.%d" % sys.version_info[:3],
        "executable": sys.executable,
        "stdlib": stdlib,
        "extensions": extension_directory(stdlib),
        "libpython": running_libpython() or libpython(),
        "linked_in": running_libpython() is None,
        "abi": sysconfig.get_config_var("SOABI"),
        "platlibdir": getattr(sys, "platlibdir", "lib"),
        "archive": next((os.path.basename(entry) for entry in sys.path if entry.endswith(".zip")), None),
        "cache_tag": sys.implementation.cache_tag,
        "packages": packages_directory(),
        "openssl_cafile": defaults.openssl_cafile,
        "zones": zone_directory(),
        "modules": modules(stdlib),
        "builtins": sorted(sys.builtin_module_names),
    },
    sys.stdout,
)
