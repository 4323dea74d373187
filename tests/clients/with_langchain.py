"""langchain-openai against a gateway: `python with_langchain.py BASE_URL MODEL` prints one JSON object."""

import json
import sys

from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel, Field

url, model = sys.argv[1:]
made = {"base_url": url, "api_key": "none", "model": model, "temperature": 0, "max_retries": 0}
question = "Solve for x: 3x + 7 = 22"


class Answer(BaseModel):
    """A number."""

    x: int = Field(ge=0, le=99)


chat = ChatOpenAI(**made, max_tokens=10)
chunks = list(ChatOpenAI(**made, max_tokens=10, stream_usage=True).stream(question))
said = chat.invoke(question)
parsed = ChatOpenAI(**made, max_tokens=60).with_structured_output(Answer, method="json_schema").invoke(question)
print(
    json.dumps(
        {
            "invoke": said.content,
            "finish": said.response_metadata["finish_reason"],
            "stream": "".join(chunk.content for chunk in chunks),
            "usage": [chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata],
            "batch": [each.content for each in chat.batch([question, question])],
            "logprobs": len(chat.bind(logprobs=True).invoke(question).response_metadata["logprobs"]["content"]),
            "parsed": parsed.x,
            "completion": OpenAI(**made, max_tokens=5).invoke("3x + 7"),
            "batch_of_completions": OpenAI(**made, max_tokens=5).batch(["3x + 7", "y"])[0],
        }
    )
)
