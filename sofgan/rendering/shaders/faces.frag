#version 330 core
// Which triangle covers this pixel.
flat in uint number;
out uint face;

void main()
{
    face = number;
}
