# A small image of the server: no root, no build tools, and it runs with a read-only file system.
#
#   docker build -t cohere-rerank .
#   docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:8000:8000 -e CO_SERVER_API_KEY=your-key cohere-rerank
#
# Other engines: docker build --build-arg EXTRAS=server,semantic -t cohere-rerank .

FROM python:3.13-slim AS build
ARG EXTRAS=server
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY .ci/hatch_build.py .ci/
COPY cohere_rerank cohere_rerank
RUN python -m venv /opt/cohere-rerank
RUN /opt/cohere-rerank/bin/python -m pip install ".[$EXTRAS]"
# The program needs neither pip nor a cache of it.
RUN /opt/cohere-rerank/bin/python -m pip uninstall --yes pip

FROM python:3.13-slim
COPY --from=build /opt/cohere-rerank /opt/cohere-rerank
ENV PATH=/opt/cohere-rerank/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    CO_SERVER_HOST=0.0.0.0 \
    CO_SERVER_PORT=8000
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-m", "cohere_rerank.server.probe"]
# The exec form: signals reach the program, which finishes its requests within 30 seconds (docker stop --time 35).
ENTRYPOINT ["cohere-rerank", "serve"]
