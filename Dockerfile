# unetkit in a container: see docs/workflows.md.
#
#   docker build -t unetkit .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/images:/data:ro" -v "$PWD/masks:/out" unetkit segment /data /out
#
# BASE is an image of Debian or Ubuntu with Python 3.11 to 3.13, or with none, for which its own is installed. The
# ordinary PyTorch for Linux carries CUDA with it, so any base runs on a GPU; one of NVIDIA's brings their tools:
#
#   docker build -t unetkit:cuda --build-arg BASE=nvidia/cuda:13.0.2-base-ubuntu24.04 .
#
# With pip's own PIP_EXTRA_INDEX_URL, set to the index of PyTorch for processors, the image is a third as large.

ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG EXTRAS=openvino,onnxruntime,formats,medical,annotations,parquet
ARG PIP_EXTRA_INDEX_URL=
RUN python3 -c "import ensurepip, sys; assert sys.version_info >= (3, 11)" \
    || (apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv)
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY unetkit ./unetkit
RUN python3 -m venv /opt/unetkit \
    && /opt/unetkit/bin/pip install --no-cache-dir --constraint constraints.txt ".[${EXTRAS}]" \
    && /opt/unetkit/bin/unetkit --version

FROM ${BASE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="unetkit" \
      org.opencontainers.image.description="Find and outline objects in microscopy images with a U-Net" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="BSD-3-Clause"
RUN command -v python3 > /dev/null \
    || (apt-get update && apt-get install --yes --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*)
COPY --from=build /opt/unetkit /opt/unetkit

# All that is written beside outputs goes to /tmp, so the rest may be read-only, and any user may run it: USER is for
# programs that ask for a name, which a number given to --user has not.
ENV PATH=/opt/unetkit/bin:$PATH \
    HOME=/tmp \
    USER=unetkit \
    XDG_CACHE_HOME=/tmp/cache \
    MPLCONFIGDIR=/tmp/cache/matplotlib \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /work
USER 1000:1000

# Workflow engines start a shell by its path; all else are words of unetkit.
ENTRYPOINT ["/bin/sh", "-c", "case \"$1\" in /*) exec \"$@\" ;; *) exec unetkit \"$@\" ;; esac", "unetkit"]
CMD ["--help"]
