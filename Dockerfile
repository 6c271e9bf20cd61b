# The server (cmpc serve) with the models that ship: slim, for the CPU, not as root.
#   docker build -t cmpc . && docker run --rm -p 8000:8000 cmpc
FROM python:3.11-slim AS build

WORKDIR /src
RUN python -m venv /venv
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /venv/bin/pip install --no-cache-dir --constraint constraints.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu ".[serve,crf]"

FROM python:3.11-slim

RUN useradd --create-home --uid 10001 cmpc
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1
USER 10001
WORKDIR /home/cmpc
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["cmpc", "serve", "--host", "0.0.0.0"]
