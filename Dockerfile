# The app on a CPU: docker build -t maskgroup .      docs/deploy.md says how to run it.
FROM python:3.11-slim-bookworm AS build
# Where PyTorch's wheels without CUDA come from; empty = the usual index, whose wheels bring CUDA along, gigabytes of it.
ARG TORCH_INDEX=""
WORKDIR /src
RUN python -m venv /opt/maskgroup
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY assets ./assets
COPY engine ./engine
COPY db ./db
COPY finetune ./finetune
COPY ui ./ui
RUN /opt/maskgroup/bin/pip install --no-cache-dir --constraint constraints.txt \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} ".[photos,postgres]"

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home --home-dir /data maskgroup \
    && install --directory --owner=maskgroup --group=maskgroup --mode=0700 /data
COPY --from=build /opt/maskgroup /opt/maskgroup
# Everything that is written goes below /data or /tmp: the rest may be read-only.
ENV PATH=/opt/maskgroup/bin:$PATH \
    HOME=/data \
    XDG_DATA_HOME=/data \
    HF_HOME=/data/huggingface \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRADIO_ANALYTICS_ENABLED=False
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:7860/readyz', timeout=8)"]
ENTRYPOINT ["maskgroup"]
CMD ["app", "--host", "0.0.0.0", "--log-format", "json"]
